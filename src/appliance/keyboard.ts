/** What somebody in front of the box gets by pressing a key. */
import type { GrantedAccess } from "../rpc/index.ts";
import { bestAddress, formatDecimalSize } from "./screen.ts";
import type { State } from "./state.ts";

/** How long a key stands on the screen, and how long it opens a disk after that. */
export const shownMs = 60_000;
/** How long what was granted at the keyboard lasts. */
export const keyboardGrantSeconds = 12 * 3600;
/** More lines than this push each other off the screen. */
const disksShownMax = 4;
/** Rows that the state keeps for itself below a QR code. */
const stateRowsMin = 8;

/** What is shown to whoever stands in front of the box, and to nobody else. */
export interface Secret {
  readonly lines: readonly string[];
  /** The first connect line as a picture; null where there is none. */
  readonly code: { readonly lines: readonly string[]; readonly columns: number } | null;
}

/** Nothing is shown. */
export const noSecret: Secret = { lines: [], code: null };

/** The connect line that a QR code is of, or null when there is none. */
export function codedLine(lines: readonly string[]): string | null {
  return lines.find((line) => line.startsWith("nvme ")) ?? null;
}

/** What of a secret there is room for, and the rows that it takes. */
export function fitSecret(
  { lines, code }: Secret,
  size: { readonly columns: number; readonly rows: number },
): { readonly lines: readonly string[]; readonly rows: number } {
  const rowsOf = (text: string) => Math.max(1, Math.ceil(text.length / size.columns));
  const rows = lines.reduce((sum, line) => sum + rowsOf(line), 0);
  const withCode = rows + (code?.lines.length ?? 0);
  if (code === null || code.columns > size.columns || withCode + stateRowsMin > size.rows) {
    return { lines, rows };
  }
  return { lines: [...code.lines, ...lines], rows: withCode };
}

/** The host that a connect line on the screen is for; each time another. */
export function keyboardHost(nqnBase: string, count: number, boot: string): string {
  return `${nqnBase}:screen-${boot.slice(0, 8)}-${count}`;
}

/**
 * Lines by which the stock nvme-cli of Linux connects, the host's secret in them. It asks for the
 * host's proof only: a line that is typed by hand is long enough.
 */
export function connectLines(access: GrantedAccess, state: State): readonly string[] {
  const address = bestAddress(access);
  const sizes = new Map(
    state.disks.map(({ disk }) => [disk.name, formatDecimalSize(disk.sizeBytes)]),
  );
  const lines = access.disks
    .slice(0, disksShownMax)
    .flatMap(({ name, serial, port, nqn }) => [
      `# ${name} ${sizes.get(name) ?? ""} ${serial}`,
      `nvme connect -t tcp -a ${address} -s ${port} -n ${nqn} -q ${access.hostnqn} ` +
        `-S ${access.secrets.host}`,
    ]);
  const more = access.disks.length - disksShownMax;
  const hours = keyboardGrantSeconds / 3600;
  return [
    `*** Anyone who reads these lines can use the disks for ${hours} hours. They vanish in a minute. ***`,
    ...lines,
    ...(more > 0 ? [`# and ${more} more: use "diskomator connect"`] : []),
    "",
  ];
}

/**
 * What stands on the box's screen: pure text from the state. A screen with little room gets less
 * per disk, never fewer disks: everything, then a line per disk, then a grid of names.
 */
import type { Address } from "./network.ts";
import { readOnlyPort } from "./nvmet.ts";
import { isBackstageReason } from "./policy.ts";
import type { DiskRow, State } from "./state.ts";

/** The room that there is. */
export interface ScreenSize {
  readonly columns: number;
  /** Null on a serial line, which has no end. */
  readonly rows: number | null;
  readonly colour: boolean;
}

const ansi = { bold: "\x1b[1m", red: "\x1b[1;31m", green: "\x1b[32m", dim: "\x1b[2m" };
const ansiReset = "\x1b[0m";
/** More problems than this are only counted. */
const problemsMax = 4;
const kernelMessagesMax = 3;
const grantsShownMax = 4;

type Colour = keyof typeof ansi;
interface Line {
  readonly text: string;
  readonly colour?: Colour;
}

/** Renders the state; lines end in "\n", the last one too. */
export function renderScreen(whole: State, size: ScreenSize): string {
  const state = { ...whole, disks: whole.disks.filter(isOnStage) };
  const head = [
    ...renderHead(state),
    ...renderGrants(state),
    ...renderProblems(state),
    { text: "" },
  ];
  const forms = [renderFull, renderShort, renderGrid];
  let lines: readonly Line[] = [];
  for (const form of forms) {
    lines = [...head, ...form(state, size)];
    if (size.rows === null || rowsOf(lines, size.columns) < size.rows) {
      break;
    }
  }
  return lines.map((line) => `${paint(line, size.colour)}\n`).join("");
}

function isOnStage({ state }: DiskRow): boolean {
  return state.kind !== "not exported" || !isBackstageReason(state.reason.code);
}

function paint({ text, colour }: Line, coloured: boolean): string {
  return coloured && colour !== undefined ? `${ansi[colour]}${text}${ansiReset}` : text;
}

function rowsOf(lines: readonly Line[], columns: number): number {
  const rows = lines.map(({ text }) => Math.max(1, Math.ceil(text.length / columns)));
  return rows.reduce((sum, count) => sum + count, 0);
}

function renderHead(state: State): Line[] {
  const exported = state.disks.filter(({ state: { kind } }) => kind === "exported").length;
  const addresses = state.addresses.map((one) => `${one.address} (${one.interface})`);
  return [
    ...(state.notice === null ? [] : [{ text: `*** ${state.notice} ***`, colour: "red" } as const]),
    { text: `Diskomator ${state.version}   ${state.name}   box ${state.box}`, colour: "bold" },
    accessLine(state),
    ...(state.access === "open"
      ? []
      : [{ text: "Press C to show a connect command for nvme-cli." }]),
    { text: `Addresses: ${addresses.join("  ") || "none yet: waiting for the network"}` },
    { text: `Boot medium: ${state.bootMedium}` },
    { text: `Disks: ${state.disks.length}, exported: ${exported}`, colour: "bold" },
  ];
}

/** Who may do what here, in one line. */
function accessLine({ access, readOnly, name }: State): Line {
  const owner = "only for holders of an SSH key in its image";
  switch (access) {
    case "open": {
      const what = readOnly ? "read" : "read and write";
      return {
        text: `OPEN: everyone on this network can ${what} the exported disks.`,
        colour: "red",
      };
    }
    case "paired": {
      const what = readOnly ? "Paired, read-only" : "Paired";
      return { text: `${what}: ${owner}. Try: diskomator ls ${name}`, colour: "green" };
    }
    case "local":
      return { text: "Local: nobody is let in until somebody presses L here.", colour: "green" };
  }
}

function renderGrants({ grants }: State): Line[] {
  return grants.slice(-grantsShownMax).map(({ disks, mode, hostnqn, purpose, expiresAt }) => {
    const until = expiresAt === null ? "until revoked" : `until ${expiresAt.slice(11, 19)} UTC`;
    const who = purpose || hostnqn;
    return { text: `Granted: ${disks.join(", ") || "no disk"} (${mode}) to ${who}, ${until}` };
  });
}

function renderProblems(state: State): Line[] {
  const shown = state.problems.slice(0, problemsMax);
  const more = state.problems.length - shown.length;
  const messages = state.kernelMessages.slice(-kernelMessagesMax);
  return [
    ...shown.map((text): Line => ({ text: `! ${text}`, colour: "red" })),
    ...(more > 0 ? [{ text: `! and ${more} more, see: journalctl -u diskomator` }] : []),
    ...messages.map((text): Line => ({ text: `kernel: ${text}` })),
  ];
}

function renderFull(state: State): Line[] {
  return state.disks.flatMap((row) => {
    const { model, serial, sizeBytes, transport, name } = row.disk;
    const what = [
      name.padEnd(8),
      formatDecimalSize(sizeBytes).padStart(8),
      model || `${transport} disk`,
      ...(serial === "" ? [] : [`serial ${serial}`]),
    ];
    const first: Line = { text: `${what.join("  ")}  ${stateText(row)}`, colour: colourOf(row) };
    return row.state.kind === "exported" && state.access === "open"
      ? [first, { text: `  ${connectLine(at(state, row), row.state.nqn)}` }]
      : [first];
  });
}

/** The state with the port that a disk is served on. */
function at(state: State, { disk }: DiskRow): Pick<State, "addresses" | "servicePort"> {
  const isReadOnly = disk.readOnly || state.readOnly;
  return isReadOnly ? { ...state, servicePort: readOnlyPort } : state;
}

function renderShort(state: State): Line[] {
  const prefix = commonPrefix(state);
  const lines = state.disks.map((row): Line => {
    const nqn = row.state.kind === "exported" ? row.state.nqn.slice(prefix.length) : stateText(row);
    const { name, sizeBytes, model } = row.disk;
    const what = `${name.padEnd(8)} ${formatDecimalSize(sizeBytes).padStart(8)}`;
    return { text: `${what}  ${model.slice(0, 20).padEnd(20)}  ${nqn}`, colour: colourOf(row) };
  });
  const how =
    prefix === "" || state.access !== "open" ? [] : [{ text: connectLine(state, `${prefix}DISK`) }];
  return [...how, ...lines];
}

function renderGrid(state: State, size: ScreenSize): Line[] {
  const cells = state.disks.map(({ disk, state: { kind } }) => {
    const mark = kind === "exported" ? " " : kind === "failing" ? "!" : "-";
    return `${mark}${disk.name.padEnd(8)} ${formatDecimalSize(disk.sizeBytes).padStart(8)}`;
  });
  const cellWidth = Math.max(0, ...cells.map(({ length }) => length)) + 2;
  const perLine = Math.max(1, Math.floor(size.columns / cellWidth));
  const connect: Line[] = [
    { text: `nvme connect-all -t tcp -a ${bestAddress(state)} -s ${state.servicePort}` },
  ];
  const lines: Line[] = [
    ...(state.access === "open" ? connect : []),
    { text: "- not exported, ! failing; all about them: diskomator ls, or the journal" },
  ];
  for (let at = 0; at < cells.length; at += perLine) {
    const line = cells.slice(at, at + perLine).map((cell) => cell.padEnd(cellWidth));
    lines.push({ text: line.join("").trimEnd() });
  }
  return lines;
}

function stateText({ disk, state }: DiskRow): string {
  switch (state.kind) {
    case "exported":
      return disk.readOnly ? "exported, read-only" : "exported";
    case "not exported":
      return `not exported: ${state.reason.text}`;
    case "failing":
      return `FAILING: ${state.error}`;
  }
}

function colourOf({ state }: DiskRow): Colour {
  return state.kind === "exported" ? "green" : state.kind === "failing" ? "red" : "dim";
}

/** The line that a Linux host attaches a disk with. */
export function connectLine(state: Pick<State, "addresses" | "servicePort">, nqn: string): string {
  return `nvme connect -t tcp -a ${bestAddress(state)} -s ${state.servicePort} -n ${nqn}`;
}

/** The address to try first; a link-local one needs the interface of whoever tries. */
export function bestAddress(state: {
  readonly addresses: readonly Omit<Address, "mac">[];
}): string {
  const best = state.addresses[0];
  if (best === undefined) {
    return "ADDRESS";
  }
  const scope = best.linkLocal && best.family === "IPv6" ? "%INTERFACE" : "";
  return `${best.address}${scope}`;
}

/** What all NQNs begin with, up to the colon before the disk; empty when nothing is exported. */
function commonPrefix(state: State): string {
  for (const row of state.disks) {
    if (row.state.kind === "exported") {
      const boxPart = `:${state.box}:`;
      const at = row.state.nqn.lastIndexOf(boxPart);
      return row.state.nqn.slice(0, at + boxPart.length);
    }
  }
  return "";
}

const sizeUnits = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** Decimal units, as on the label of a disk: `1.0 TB`. */
export function formatDecimalSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < sizeUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : value.toFixed(0)} ${sizeUnits[unit]}`;
}

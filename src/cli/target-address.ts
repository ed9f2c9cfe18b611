/** How the command line names a disk, taken apart. */

import { UsageError } from "./exit.ts";

/** Where a disk is. */
export type TargetAddress =
  | { readonly kind: "file"; readonly path: string }
  | {
      readonly kind: "nqn";
      readonly host: string;
      readonly port: number;
      readonly nqn: string;
      readonly nsid: number | undefined;
    }
  | {
      readonly kind: "discovered";
      readonly host: string;
      readonly port: number;
      /** Serial number, or the last part of an NQN. */
      readonly disk: string | undefined;
    }
  | {
      readonly kind: "box";
      /** Name or address. */
      readonly box: string;
      /** As `chooseDisk` takes it. */
      readonly disk: string | undefined;
    };

/** What `--help` says of it. */
export const targetHelp = `  A disk is named as
    BOX[:DISK]                          a box by its name or address, and its disk by kernel name,
                                        serial number or label; its keys come from the box, over SSH
    HOST:PORT:DISK                      any NVMe/TCP target: by serial number, or by the last part
                                        of the NQN in its discovery log
    nvme-tcp://HOST[:PORT]/NQN[#NSID]   a namespace; port 4420 and namespace 1 unless given
    file:PATH, /PATH                    a file or a block device of this machine

  --no-tls    do not encrypt traffic to and from a BOX; both ends are still authenticated`;

const portDefault = 4420;
const scheme = "nvme-tcp://";
/** `HOST`, `HOST:PORT`, `[V6]:PORT`, each with `:DISK` after it. */
const boxPattern = /^(\[[^\]]+\]|[^:/[\]]+)(?::(\d{1,5})(?=:|$))?(?::(.+))?$/;

/** @throws UsageError when it is no name of a disk. */
export function parseTarget(text: string): TargetAddress {
  if (text.startsWith("file:")) return { kind: "file", path: text.slice("file:".length) };
  if (/^\.{0,2}\//.test(text)) return { kind: "file", path: text };
  if (text.startsWith(scheme)) return parseUrl(text);
  const match = boxPattern.exec(text);
  if (!match) throw wrong(text);
  const [, place = "", port, disk] = match;
  const host = bare(place);
  if (port === undefined) return { kind: "box", box: host, disk };
  return { kind: "discovered", host, port: portOf(port, text), disk };
}

function parseUrl(text: string): TargetAddress {
  const match = /^nvme-tcp:\/\/(\[[^\]]+\]|[^:/]+)(?::(\d{1,5}))?\/([^#]+)(?:#(\d{1,10}))?$/.exec(
    text,
  );
  if (!match) throw wrong(text);
  const nsid = match[4] === undefined ? undefined : Number(match[4]);
  if (nsid === 0) throw wrong(text);
  return {
    kind: "nqn",
    host: bare(match[1] ?? ""),
    port: portOf(match[2], text),
    nqn: decodeURIComponent(match[3] ?? ""),
    nsid,
  };
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

function portOf(digits: string | undefined, text: string): number {
  const port = Number(digits ?? portDefault);
  if (port < 1 || port > 65535) throw wrong(text);
  return port;
}

function wrong(text: string): UsageError {
  return new UsageError(`"${text}" is not the name of a disk.\n${targetHelp}`);
}

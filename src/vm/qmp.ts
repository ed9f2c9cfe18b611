/**
 * QMP, QEMU's machine protocol, without I/O: one JSON object per line in both directions
 * (QEMU, docs/interop/qmp-spec.rst).
 */

/** Something that QEMU reports by itself. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One line from QEMU. `malformed` is QEMU's fault, as a value. */
export type QmpMessage =
  | { readonly kind: "greeting" }
  | ({ readonly kind: "event" } & QmpEvent)
  | { readonly kind: "return"; readonly id: number; readonly value: unknown }
  | {
      readonly kind: "error";
      /** Absent when QEMU could not tell which command it was. */
      readonly id: number | undefined;
      readonly errorClass: string;
      readonly description: string;
    }
  | { readonly kind: "malformed"; readonly reason: string; readonly line: string };

/** Longest line that is taken from QEMU, in bytes. */
export const qmpLineBytesMax = 4 * 1024 * 1024;

const newline = 0x0a;
/** How much of a bad line is kept for the message. */
const excerptCharacters = 200;

/** A command as it goes to QEMU. */
export function encodeQmpCommand(
  id: number,
  command: string,
  args?: Readonly<Record<string, unknown>>,
): string {
  return `${JSON.stringify({ execute: command, ...(args && { arguments: args }), id })}\n`;
}

/** Turns QEMU's bytes, however they are cut, into messages. */
export class QmpDecoder {
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  /** Takes the next bytes; returns the messages that they complete. */
  push(chunk: Uint8Array): QmpMessage[] {
    const messages: QmpMessage[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#hold(chunk.subarray(start, end));
      const line = this.#takeLine();
      if (line.trim() !== "") messages.push(decodeQmpLine(line));
      start = end + 1;
    }
    this.#hold(chunk.subarray(start));
    return messages;
  }

  /** What is beyond the longest line is dropped; the cut line is then malformed. */
  #hold(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, qmpLineBytesMax - this.#heldBytes);
    if (kept.length === 0) return;
    this.#held.push(Uint8Array.from(kept));
    this.#heldBytes += kept.length;
  }

  #takeLine(): string {
    const line = Buffer.concat(this.#held).toString("utf8");
    this.#held = [];
    this.#heldBytes = 0;
    return line;
  }
}

/** Decodes one line of QEMU's, without its line end. */
export function decodeQmpLine(line: string): QmpMessage {
  const malformed = (reason: string): QmpMessage => ({
    kind: "malformed",
    reason,
    line: line.slice(0, excerptCharacters),
  });
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return malformed("not JSON");
  }
  if (!isRecord(value)) return malformed("not an object");
  if (isRecord(value.QMP)) return { kind: "greeting" };
  if (typeof value.event === "string") {
    return { kind: "event", event: value.event, data: isRecord(value.data) ? value.data : {} };
  }
  const id = typeof value.id === "number" ? value.id : undefined;
  if (isRecord(value.error)) {
    const { class: errorClass, desc } = value.error;
    if (typeof errorClass !== "string" || typeof desc !== "string") {
      return malformed("an error without class and description");
    }
    return { kind: "error", id, errorClass, description: desc };
  }
  if (!("return" in value)) return malformed("neither greeting, event, return nor error");
  if (id === undefined) return malformed("a return without the id of its command");
  return { kind: "return", id, value: value.return };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The file of known boxes, `boxes.json` in the user's configuration: boxes on other networks, where
 * announcements do not come, and boxes behind forwarded ports. People may edit it.
 */

import * as v from "valibot";
import { BoxError } from "./error.ts";

/** A box that the user knows. */
export interface KnownBox {
  /** As the user calls it. */
  readonly name: string;
  /** IP address or host name. */
  readonly address: string;
  /** Where a port of the box is reached, if elsewhere: port of the box → port at `address`. */
  readonly ports: ReadonlyMap<number, number>;
}

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
const portText = v.pipe(v.string(), v.regex(/^[1-9]\d{0,4}$/, "Wanted: a port number"));
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(253), v.regex(/^[!-~]+$/));
const fileShape = v.strictObject({
  boxes: v.pipe(
    v.array(
      v.strictObject({
        name: v.optional(text),
        address: text,
        ports: v.optional(v.record(portText, port), {}),
      }),
    ),
    v.maxLength(1000),
  ),
});

/**
 * Reads the file.
 * @param path for messages
 * @throws BoxError `configuration` that says what is wrong.
 */
export function parseKnownBoxes(json: string, path: string): readonly KnownBox[] {
  const fail = (why: string, cause?: unknown) =>
    new BoxError(
      "configuration",
      `Cannot read the known boxes in ${path}: ${why}. Correct the file, or remove it.`,
      { path },
      { cause },
    );
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw fail("it is not JSON", error);
  }
  const parsed = v.safeParse(fileShape, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw fail(`${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
  }
  return parsed.output.boxes.map(({ name, address, ports }) => ({
    name: name ?? address,
    address,
    ports: new Map(Object.entries(ports).map(([from, to]) => [Number(from), to])),
  }));
}

/** The file's text. */
export function formatKnownBoxes(boxes: readonly KnownBox[]): string {
  const rows = boxes.map(({ name, address, ports }) => ({
    ...(name === address ? {} : { name }),
    address,
    ...(ports.size === 0 ? {} : { ports: Object.fromEntries(ports) }),
  }));
  return `${JSON.stringify({ boxes: rows }, null, 2)}\n`;
}

/** The boxes with one more, or another address for one of the same name. */
export function addKnownBox(boxes: readonly KnownBox[], added: KnownBox): readonly KnownBox[] {
  const others = boxes.filter(({ name }) => name !== added.name);
  return [...others, added].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

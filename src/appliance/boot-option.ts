/**
 * What the firmware keeps about booting: load options, which are `Boot####` variables, and lists of
 * their numbers (UEFI 2.11, sections 3.1.3, 3.3 and 10.3.5). Bytes come without the four bytes of
 * attributes that efivarfs puts before them.
 */
import { guid } from "../disk/index.ts";
import { devicePathNodes, isNode, nodeSubtypes, nodeTypes, viewOf } from "./device-path.ts";

/** One `Boot####` variable. */
export interface LoadOption {
  readonly attributes: number;
  readonly description: string;
  /** The device path, with its end node. */
  readonly path: Uint8Array;
}

/** A file on a partition of a disk with a GPT. */
export interface LoaderPlace {
  readonly partition: number;
  readonly firstLba: number;
  readonly sectors: number;
  readonly partUuid: string;
  /** With backslashes, from the root of the partition. */
  readonly file: string;
}

/** Attributes of a load option: it takes part, and where it belongs to. */
export const optionActive = 0x0000_0001;
const optionCategory = 0x0000_1f00;

const headerBytes = 6;
const media = nodeTypes.media;
const hardDrive = { type: media, subtype: nodeSubtypes.media.hardDrive, bytes: 42 };
const formatGpt = 2;
const signatureGuid = 2;
const fileHeadBytes = 4;
const endNode = Uint8Array.of(0x7f, 0xff, 4, 0);

/** Reads a load option; null when it is cut short. */
export function parseLoadOption(data: Uint8Array): LoadOption | null {
  if (data.length < headerBytes + 2) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = headerBytes;
  while (at + 2 <= data.length && view.getUint16(at, true) !== 0) at += 2;
  const pathBytes = view.getUint16(4, true);
  const start = at + 2;
  if (start + pathBytes > data.length) return null;
  return {
    attributes: view.getUint32(0, true),
    description: new TextDecoder("utf-16le").decode(data.subarray(headerBytes, at)),
    path: data.slice(start, start + pathBytes),
  };
}

/** The bytes of a load option without optional data, which sd-stub would take for parameters. */
export function encodeLoadOption({ attributes, description, path }: LoadOption): Uint8Array {
  const text = utf16(description);
  const data = new Uint8Array(headerBytes + text.length + path.length);
  const view = new DataView(data.buffer);
  view.setUint32(0, attributes, true);
  view.setUint16(4, path.length, true);
  data.set(text, headerBytes);
  data.set(path, headerBytes + text.length);
  return data;
}

/**
 * The path to a file on a partition: behind the path of its disk, or in the short form (section
 * 3.1.2), the partition by its GUID, wherever its disk is. Firmware that finds two such partitions
 * takes either, so there must be one only.
 */
export function loaderPath(place: LoaderPlace, disk: Uint8Array = new Uint8Array()): Uint8Array {
  const name = utf16(place.file);
  const fileBytes = fileHeadBytes + name.length;
  const rest = new Uint8Array(hardDrive.bytes + fileBytes + endNode.length);
  const view = new DataView(rest.buffer);
  view.setUint8(0, media);
  view.setUint8(1, hardDrive.subtype);
  view.setUint16(2, hardDrive.bytes, true);
  view.setUint32(4, place.partition, true);
  view.setBigUint64(8, BigInt(place.firstLba), true);
  view.setBigUint64(16, BigInt(place.sectors), true);
  guid.write(view, 24, place.partUuid);
  view.setUint8(40, formatGpt);
  view.setUint8(41, signatureGuid);
  const at = hardDrive.bytes;
  view.setUint8(at, media);
  view.setUint8(at + 1, nodeSubtypes.media.file);
  view.setUint16(at + 2, fileBytes, true);
  rest.set(name, at + fileHeadBytes);
  rest.set(endNode, at + fileBytes);
  return Buffer.concat([disk, rest]);
}

/** The GUID of the partition that a path names; null where it names none, or one without a GUID. */
export function partitionOf(path: Uint8Array): string | null {
  const node = devicePathNodes(path).find((one) => isNode(one, hardDrive));
  if (node === undefined) return null;
  const view = viewOf(node);
  return view.getUint8(41) === signatureGuid ? guid.read(view, 24) : null;
}

/** The file that a path names, with backslashes; null where it names none. */
export function fileOf(path: Uint8Array): string | null {
  const parts = devicePathNodes(path)
    .filter(({ type, subtype }) => type === media && subtype === nodeSubtypes.media.file)
    .map(({ bytes }) => new TextDecoder("utf-16le").decode(bytes.subarray(fileHeadBytes)))
    .map((text) => text.replaceAll("\0", ""));
  return parts.length === 0 ? null : parts.join("\\").replaceAll(/[\\/]+/g, "\\");
}

/** Whether firmware passes over an option in a boot order: it is off, or a program to be chosen. */
export function isPassedOver(option: LoadOption): boolean {
  const { attributes } = option;
  return (attributes & optionActive) === 0 || (attributes & optionCategory) !== 0;
}

/** The numbers of `BootOrder`, `BootNext` or `BootCurrent`; an odd byte at the end is dropped. */
export function parseNumbers(data: Uint8Array): readonly number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Array.from({ length: data.length >> 1 }, (_, n) => view.getUint16(n * 2, true));
}

/** The bytes of such a list. */
export function encodeNumbers(numbers: readonly number[]): Uint8Array {
  const data = new Uint8Array(numbers.length * 2);
  const view = new DataView(data.buffer);
  for (const [n, number] of numbers.entries()) view.setUint16(n * 2, number, true);
  return data;
}

/** Four hex digits, as in the variable's name. */
export function formatNumber(number: number): string {
  return number.toString(16).toUpperCase().padStart(4, "0");
}

/** UTF-16LE with its NUL. */
function utf16(text: string): Uint8Array {
  return Buffer.from(`${text}\0`, "utf16le");
}

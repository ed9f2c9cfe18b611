/** For tests: a machine with a menu, the stick of the box and a disk, and a note of it. */
import type { FirmwareBoot } from "../boot-comeback.ts";
import { noteOrder, type RunNote } from "../boot-note.ts";
import { type LoadOption, loaderPath } from "../boot-option.ts";

/** The partition of the disk under test. */
export const testedUuid = "7c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
/** The partition of the stick. */
export const stickUuid = "d3cacedf-be7a-4561-962d-d89ccdad2e59";

/** A load option whose path is nothing but its end. */
export function option(description: string, attributes = 1): LoadOption {
  return { attributes, description, path: Uint8Array.of(0x7f, 0xff, 4, 0) };
}

/** A load option for a file on a partition. */
export function fileOption(
  description: string,
  partUuid: string,
  file = "\\EFI\\BOOT\\BOOTX64.EFI",
): LoadOption {
  const place = { partition: 1, firstLba: 2048, sectors: 100, partUuid, file };
  return { attributes: 1, description, path: loaderPath(place) };
}

/** The box has booted from its stick. */
export const machine: FirmwareBoot = {
  options: new Map([
    [0, option("UiApp", 0x109)],
    [1, option("stick")],
    [2, option("disk")],
  ]),
  order: [0, 1, 2],
  current: 1,
  next: null,
  bootCount: 7,
  isKexec: false,
  loader: { menu: null, entry: null, partUuid: stickUuid, file: "\\EFI\\BOOT\\BOOTX64.EFI" },
};

/** That machine's options, some of them others. */
export function withOptions(
  ...changes: readonly (readonly [number: number, option: LoadOption | null])[]
): Pick<FirmwareBoot, "options"> {
  return { options: new Map([...machine.options, ...changes]) };
}

/** A run of that machine's disk. */
export const note: RunNote = {
  run: "6c0f57bd-7e5c",
  disk: "S6Z1NJ0W1",
  at: "2026-11-23T12:00:00.000Z",
  entry: 3,
  partUuid: testedUuid,
  order: noteOrder(machine.order, machine.options),
  bootCount: 5,
  noReturn: false,
  isAppended: false,
  isFullPath: false,
  crashes: [],
};

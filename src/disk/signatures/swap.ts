/** Swap space of Linux, and what a hibernating system left in it. Linux's include/linux/swap.h. */

import { ascii, layout, u32le } from "../../bytes/index.ts";
import { text, uuid } from "./fields.ts";
import { type Probe, superblock } from "./signature.ts";

const swapHeader = layout("swap header", 44, {
  version: u32le,
  lastPage: u32le,
  badPages: u32le,
  uuid,
  label: text(16),
});
const swapMagic = layout("swap magic", 10, { magic: ascii(10, "\0") });

/** The magic ends the first page, whose size is the machine's. */
const pageSizes = [4096, 8192, 16384, 32768, 65536];
const places = () => pageSizes.map((page) => page - swapMagic.size);
const headerAt = 1024;
const suspended = new Set(["S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"]);

/** Swap space, hibernation image or not. */
export const swap: Probe = superblock({
  layout: swapMagic,
  places,
  read: async ({ magic }, region, offsetBytes) => {
    const isSuspended = suspended.has(magic);
    if (!isSuspended && magic !== "SWAPSPACE2" && magic !== "SWAP-SPACE") return undefined;
    if (magic === "SWAP-SPACE") return { kind: "swap", version: "0" };
    const bytes = await region.read(headerAt, swapHeader.size);
    const header = bytes && swapHeader.decode(bytes);
    if (header?.version !== 1) return isSuspended ? { kind: "swsuspend" } : undefined;
    const { label, uuid, lastPage } = header;
    const sizeBytes = (lastPage + 1) * (offsetBytes + swapMagic.size);
    return { kind: isSuspended ? "swsuspend" : "swap", version: "1", label, uuid, sizeBytes };
  },
});

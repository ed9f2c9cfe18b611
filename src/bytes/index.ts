export { crc32c } from "./crc32c.ts";
export {
  ascii,
  type BitTable,
  type BitValues,
  bits,
  bytes,
  flag,
  repeat,
  reserved,
  u8,
  u16be,
  u16le,
  u32be,
  u32le,
  u64le,
} from "./fields.ts";
export {
  type Field,
  type Layout,
  type LayoutValue,
  layout,
  type ValuesOf,
  viewOf,
} from "./layout.ts";
export { paddingOf, roundUp, toNumber } from "./number.ts";
export { formatRate, formatSize } from "./size.ts";

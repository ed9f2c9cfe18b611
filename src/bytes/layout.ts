/**
 * Declared binary layouts: a format is one table of fields with its total size, and both
 * directions come from that table.
 *
 * The size is checked when the table is made, so a wrong sum fails at import and not on the wire.
 */

/** How one value of type `T` lies in `size` bytes. `Field<never>` is a reserved gap. */
export interface Field<T> {
  /** Length in bytes. */
  readonly size: number;
  /** True for a gap that is written as zeros, ignored when read, and has no value. */
  readonly reserved?: true;
  read(view: DataView, offset: number): T;
  write(view: DataView, offset: number, value: T): void;
}

type FieldTable = Readonly<Record<string, Field<unknown> | Field<never>>>;

/** The object that a table of fields describes; reserved gaps do not appear in it. */
export type ValuesOf<F> = {
  -readonly [K in keyof F as F[K] extends Field<infer T>
    ? [T] extends [never]
      ? never
      : K
    : never]: F[K] extends Field<infer T> ? T : never;
};

/** A declared format; it is itself a field, so that layouts nest. */
export interface Layout<V> extends Field<V> {
  readonly name: string;
  /** Reads one value at `offset` of `bytes`; throws a RangeError when fewer than `size` are there. */
  decode(bytes: Uint8Array, offset?: number): V;
  /** A new buffer of `size` bytes. */
  encode(value: V): Uint8Array;
  /** Zeroes `size` bytes at `offset` of `bytes` and writes `value` there. */
  encodeInto(value: V, bytes: Uint8Array, offset?: number): void;
  /** Byte offset of each field, reserved gaps included, by its name. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** The value type of a layout. */
export type LayoutValue<L> = L extends Layout<infer V> ? V : never;

/**
 * Declares a format.
 * @param name what the specification calls it; it stands in messages.
 * @param size total length in bytes; a different sum of the fields throws here.
 * @param fields in the order in which they lie, without gaps.
 */
export function layout<const F extends FieldTable>(
  name: string,
  size: number,
  fields: F,
): Layout<ValuesOf<F>> {
  type Values = ValuesOf<F>;
  const entries = Object.entries(fields) as [string, Field<unknown>][];
  const offsets: Record<string, number> = {};
  let sum = 0;
  for (const [key, field] of entries) {
    offsets[key] = sum;
    sum += field.size;
  }
  if (sum !== size) {
    throw new RangeError(`Layout "${name}" declares ${size} bytes but its fields take ${sum}.`);
  }
  const valued = entries.filter(([, field]) => !field.reserved);

  const read = (view: DataView, offset: number): Values => {
    const value: Record<string, unknown> = {};
    for (const [key, field] of valued) value[key] = field.read(view, offset + offsets[key]!);
    return value as Values;
  };
  const write = (view: DataView, offset: number, value: Values): void => {
    for (const [key, field] of valued) {
      field.write(view, offset + offsets[key]!, (value as Record<string, unknown>)[key]);
    }
  };
  return {
    name,
    size,
    offsets,
    read,
    write,
    decode(bytes, offset = 0) {
      checkRoom(name, size, bytes, offset);
      return read(viewOf(bytes), offset);
    },
    encode(value) {
      const bytes = new Uint8Array(size);
      write(viewOf(bytes), 0, value);
      return bytes;
    },
    encodeInto(value, bytes, offset = 0) {
      checkRoom(name, size, bytes, offset);
      bytes.fill(0, offset, offset + size);
      write(viewOf(bytes), offset, value);
    },
  };
}

/** A DataView over exactly the bytes of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checkRoom(name: string, size: number, bytes: Uint8Array, offset: number): void {
  if (offset < 0 || offset + size > bytes.byteLength) {
    throw new RangeError(
      `${name} takes ${size} bytes at offset ${offset}, but the buffer has ${bytes.byteLength}.`,
    );
  }
}

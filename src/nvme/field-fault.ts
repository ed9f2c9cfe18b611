/**
 * Fields that a command may have on the wire, but that mean something which a fabrics controller
 * without protection information, directives and vendor extensions does not do.
 */

import { type Command, offsetOf } from "./command.ts";
import type { StatusName } from "./status.ts";

/** The first field at fault, and where: as the Error Information log reports it. */
export interface FieldFault {
  /** The specification's name of the field. */
  readonly field: string;
  readonly status: StatusName;
  /** Byte in the 64 of the command. */
  readonly byte: number;
  /** Bit in that byte. */
  readonly bit: number;
}

interface Rule {
  readonly field: string;
  readonly status: StatusName;
  readonly byte: number;
  readonly bit: number;
  readonly isSet: (control: Control) => boolean;
}

interface Control {
  readonly cetype: number;
  readonly dtype?: number;
  readonly nsz?: boolean;
  readonly stc: boolean;
  readonly prinfo: number;
}

/** The same in every command that has it. */
const low = offsetOf("write", "control");
const high = low + 1;

const rules: readonly Rule[] = [
  rule("PRINFO", "invalidProtection", high, 2, (control) => control.prinfo !== 0),
  rule("STC", "invalidField", high, 0, (control) => control.stc),
  rule("NSZ", "invalidField", low, 7, (control) => control.nsz === true),
  rule("DTYPE", "invalidField", low, 4, (control) => (control.dtype ?? 0) !== 0),
  rule("CETYPE", "invalidField", low, 0, (control) => control.cetype !== 0),
];

/**
 * What a controller without end-to-end protection, directives and command extensions cannot do of
 * a Read, Write, Write Zeroes, Compare or Verify; `undefined` when there is nothing of that, and
 * for other commands. NVM Command Set 1.0 §5.2.1; Base 2.0 §4.5.
 */
export function fieldFault(command: Command): FieldFault | undefined {
  if (!("control" in command)) return undefined;
  const control: Control = command.control;
  const found = rules.find(({ isSet }) => isSet(control));
  if (found === undefined) return undefined;
  const { field, status, byte, bit } = found;
  return { field, status, byte, bit };
}

function rule(
  field: string,
  status: StatusName,
  byte: number,
  bit: number,
  isSet: (control: Control) => boolean,
): Rule {
  return { field, status, byte, bit, isSet };
}

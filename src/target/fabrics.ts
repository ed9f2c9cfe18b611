/** Property Get and Set: registers over fabrics. NVMe Base 2.0 §6.5, §6.6 and §3.1.3. */

import {
  type CommandOf,
  cap,
  encodeProperty,
  offsetOf,
  property,
  u64OfDwords,
} from "../nvme/index.ts";
import { type Answer, failure, success } from "./answer.ts";
import type { Controller } from "./controller.ts";
import { versionBits } from "./identify.ts";
import type { TargetLimits } from "./limits.ts";

/** CAP.CSS: the NVM command set, and Identify by command set. */
const commandSets = 0x41;
/** CAP.TO counts 500 ms. */
const readyTimeout = 15;
const half = 2n ** 32n;
/** Byte offsets in the command: ATTRIB, OFST. */
const at = { attrib: offsetOf("propertyGet", "attrib"), ofst: offsetOf("propertyGet", "ofst") };
const isWide = 1;

/** Answers a Property Get. */
export function getProperty(
  controller: Controller,
  limits: TargetLimits,
  { attrib, ofst }: CommandOf<"propertyGet">,
): Answer {
  if (attrib.size === isWide) {
    if (ofst !== property.cap.ofst) return failure("invalidField", at.ofst);
    const value = capabilities(limits);
    return success(Number(value % half), Number(value / half));
  }
  if (attrib.size !== 0) return failure("invalidField", at.attrib);
  switch (ofst) {
    case property.vs.ofst:
      return success(versionBits);
    case property.cc.ofst:
      return success(Number(controller.configuration % half));
    case property.csts.ofst:
      return success(Number(controller.status));
    case property.crto.ofst:
      return success(readyTimeout);
    default:
      return failure("invalidField", at.ofst);
  }
}

/** Answers a Property Set. */
export function setProperty(
  controller: Controller,
  { attrib, ofst, value }: CommandOf<"propertySet">,
): Answer {
  if (attrib.size !== 0) return failure("invalidField", at.attrib);
  if (ofst !== property.cc.ofst) return failure("invalidField", at.ofst);
  controller.configure(u64OfDwords(Number(value % half), 0));
  return success();
}

function capabilities(limits: TargetLimits): bigint {
  const zero = cap.decode(new Uint8Array(8));
  return encodeProperty(cap, {
    mqes: limits.queueEntriesMax,
    queues: { ...zero.queues, cqr: true },
    to: readyTimeout,
    // From revision 2.0 on, a controller says when it is ready with its media: CRTO.CRWMT.
    features: { ...zero.features, css: commandSets, crwms: true },
  });
}

/** Which part answers which command, and when it may be asked at all. */

import {
  authenticationProtocol,
  type Command,
  commands,
  type FieldOf,
  offsetOf,
} from "../nvme/index.ts";
import { type Answer, type Call, failure, success, successWith } from "./answer.ts";
import type { Authentication } from "./authentication.ts";
import type { Controller } from "./controller.ts";
import { getProperty, setProperty } from "./fabrics.ts";
import { getFeatures, setFeatures } from "./features.ts";
import { identify } from "./identify.ts";
import { executeIo } from "./io-commands.ts";
import type { TargetLimits } from "./limits.ts";
import { getLogPage, type LogSources } from "./logs.ts";

/** What a command is executed with. */
export interface CommandContext {
  readonly controller: Controller;
  readonly qid: number;
  readonly limits: TargetLimits;
  readonly logs: LogSources;
  /** Undefined where the host need not authenticate. */
  readonly authentication: Authentication | undefined;
  /** Closes the connection once what is to be sent has left. */
  endAfterSending(reason: string): void;
}

/** No answer yet: the controller gives it when there is something to tell. */
export const held = "held";

/** Why a command may not be executed now; `undefined` when it may. Connect is judged elsewhere. */
export function refusalNow(
  command: Command,
  controller: Controller,
  authentication: Authentication | undefined,
): Answer | undefined {
  const isFabrics = commands[command.name].set === "fabrics";
  if (command.name === "connect") return failure("commandSequence", offsetOf("connect", "fctype"));
  const isAuthentication =
    command.name === "authenticationSend" || command.name === "authenticationReceive";
  if (authentication && !authentication.isDone && !isAuthentication) {
    return failure("authenticationRequired");
  }
  if (!isFabrics && !controller.isReady)
    return failure("commandSequence", offsetOf(command.name, "opc"));
  return undefined;
}

/** Executes a command whose data is there. */
export function execute(
  context: CommandContext,
  call: Call,
): Answer | Promise<Answer> | typeof held {
  const { controller, limits } = context;
  const { command } = call;
  switch (command.name) {
    case "propertyGet":
      if (context.qid !== 0) return failure("invalidField", offsetOf(command.name, "fctype"));
      return getProperty(controller, limits, command);
    case "propertySet":
      if (context.qid !== 0) return failure("invalidField", offsetOf(command.name, "fctype"));
      return setProperty(controller, command);
    case "disconnect":
      if (context.qid === 0) {
        return failure("disconnectInvalidQueueType", offsetOf(command.name, "fctype"));
      }
      context.endAfterSending("the host disconnected the queue");
      return success();
    case "authenticationSend":
    case "authenticationReceive":
      return authenticate(context, call);
    case "identify":
      return identify(controller, limits, command);
    case "getLogPage":
      return getLogPage(controller, context.logs, command);
    case "getFeatures":
      return getFeatures(controller, limits, { ...call, command });
    case "setFeatures":
      // The host's way to a key is in the clear: nothing is changed by it.
      if (controller.isKeyOnly) return failure("operationDenied");
      return setFeatures(controller, limits, { ...call, command });
    case "keepAlive":
      return success();
    case "asyncEventRequest":
      return controller.requestEvent(call.cid) ?? held;
    case "abort":
      return abort(controller, command.sqid, command.abortCid);
    default:
      return executeIo(controller, limits, call);
  }
}

/** DW0 bit 0 says that the command was not aborted; where there is no such queue, there is none. */
function abort(controller: Controller, sqid: number, cid: number): Answer {
  const queue = sqid === 0 ? controller.admin : controller.ioQueues.get(sqid);
  const isAborted = (sqid === 0 && controller.abortEventRequest(cid)) || queue?.abort(cid);
  return success(isAborted ? 0 : 1);
}

function authenticate(context: CommandContext, { command, data, lengthBytes }: Call): Answer {
  const { authentication } = context;
  if (command.name !== "authenticationSend" && command.name !== "authenticationReceive") {
    return failure("invalidOpcode", offsetOf(command.name, "opc"));
  }
  const at = (field: FieldOf<typeof command.name>) => offsetOf(command.name, field);
  if (!authentication) return failure("commandSequence", at("fctype"));
  const { secp, spsp0, spsp1 } = authenticationProtocol;
  if (command.secp !== secp) return failure("invalidField", at("secp"));
  if (command.spsp0 !== spsp0) return failure("invalidField", at("spsp0"));
  if (command.spsp1 !== spsp1) return failure("invalidField", at("spsp1"));
  if (command.length !== lengthBytes) return failure("invalidField", at("length"));
  if (command.name === "authenticationSend") {
    authentication.receive(data);
    if (authentication.isCalledOff) context.endAfterSending("the host called authentication off");
    return success();
  }
  const answer = authentication.answer();
  if (!answer) return failure("commandSequence", at("fctype"));
  if (answer.message.length > lengthBytes) return failure("invalidField", at("length"));
  if (answer.isLast) context.endAfterSending("the host could not authenticate");
  const padded = new Uint8Array(lengthBytes);
  padded.set(answer.message);
  return successWith(padded);
}

/** Features of a controller and its namespaces: asked for, and set. NVMe Base 2.0 §5.15, §5.27. */

import type { CallOptions } from "../block/index.ts";
import {
  type Command,
  type Completion,
  command,
  dword,
  dwordOf,
  feature,
  hostIdentifier,
  hostIdentifierSize,
  namespaceWriteProtect,
  timestamp,
  uuidText,
  volatileWriteCache,
  writeProtectState,
} from "../nvme/index.ts";
import type { ExecuteOptions } from "./channel.ts";

/** Runs one admin command. */
export type ExecuteAdmin = (admin: Command, options: ExecuteOptions) => Promise<Completion>;

/** Which value of a feature is asked for. */
export interface GetFeature extends CallOptions {
  /** 0 unless given. */
  readonly nsid?: number;
  /** One of `featureSelect`; the current value unless given. */
  readonly select?: number;
  readonly cdw11?: number;
  /** Length of the data that comes with it; none unless given. */
  readonly dataBytes?: number;
}

/** What a feature is set to. */
export interface SetFeature extends CallOptions {
  /** 0 unless given. */
  readonly nsid?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly data?: Uint8Array;
  /** It outlives a reset. */
  readonly isSaved?: boolean;
}

/** Whether a namespace may be written; `until-power-cycle` and `permanent` cannot be taken back. */
export type WriteProtection = "none" | "protected" | "until-power-cycle" | "permanent";

const protections: Readonly<Record<WriteProtection, number>> = {
  none: writeProtectState.none,
  protected: writeProtectState.writeProtect,
  "until-power-cycle": writeProtectState.untilPowerCycle,
  permanent: writeProtectState.permanent,
};

/** The features of one controller; each method throws what `Controller.executeAdmin` throws. */
export class Features {
  readonly #execute: ExecuteAdmin;

  /** Use `Controller.features`. */
  constructor(execute: ExecuteAdmin) {
    this.#execute = execute;
  }

  /** Any feature: dword 0 of the completion, and the data. */
  async get(
    fid: number,
    options: GetFeature = {},
  ): Promise<{ readonly dw0: number; readonly data: Uint8Array }> {
    const { nsid = 0, select = 0, cdw11 = 0, dataBytes = 0 } = options;
    const data = new Uint8Array(dataBytes);
    const transfer = dataBytes > 0 ? ({ kind: "in", target: data } as const) : none;
    const get = command("getFeatures", { fid, nsid, cdw11, select: { sel: select } });
    const { dw0 } = await this.#execute(get, { ...callOptions(options), transfer });
    return { dw0, data };
  }

  /** Sets any feature; returns dword 0 of the completion. */
  async set(fid: number, options: SetFeature = {}): Promise<number> {
    const { nsid = 0, cdw11 = 0, cdw12 = 0, cdw13 = 0, data, isSaved = false } = options;
    const transfer = data ? ({ kind: "out", data } as const) : none;
    const save = { sv: isSaved };
    const set = command("setFeatures", { fid, nsid, cdw11, cdw12, cdw13, save });
    const { dw0 } = await this.#execute(set, { ...callOptions(options), transfer });
    return dw0;
  }

  /** Whether the volatile write cache is in use. */
  async volatileWriteCache(options: CallOptions = {}): Promise<boolean> {
    const { dw0 } = await this.get(feature.volatileWriteCache, options);
    return volatileWriteCache.decode(dword(dw0)).bits.wce;
  }

  /** Switches the volatile write cache on or off. */
  async setVolatileWriteCache(wce: boolean, options: CallOptions = {}): Promise<void> {
    const cdw11 = dwordOf(volatileWriteCache.encode({ bits: { wce } }));
    await this.set(feature.volatileWriteCache, { ...options, cdw11 });
  }

  /** Whether a namespace may be written; `undefined` for a state without a name. */
  async writeProtection(
    nsid: number,
    options: CallOptions = {},
  ): Promise<WriteProtection | undefined> {
    const { dw0 } = await this.get(feature.namespaceWriteProtect, { ...options, nsid });
    const { wps } = namespaceWriteProtect.decode(dword(dw0)).bits;
    const names = Object.keys(protections) as WriteProtection[];
    return names.find((name) => protections[name] === wps);
  }

  /** Says whether a namespace may be written, by any host. */
  async setWriteProtection(
    nsid: number,
    protection: WriteProtection,
    options: CallOptions = {},
  ): Promise<void> {
    const wps = protections[protection];
    const cdw11 = dwordOf(namespaceWriteProtect.encode({ bits: { wps } }));
    await this.set(feature.namespaceWriteProtect, { ...options, nsid, cdw11 });
  }

  /** The controller's time in milliseconds since 1970; since its reset if nobody set it. */
  async timestampMs(options: CallOptions = {}): Promise<number> {
    const dataBytes = timestamp.size;
    const { data } = await this.get(feature.timestamp, { ...options, dataBytes });
    const { low, high } = timestamp.decode(data);
    return high * 2 ** 32 + low;
  }

  /** UUID by which the controller knows this host. */
  async hostId(options: CallOptions = {}): Promise<string> {
    const cdw11 = dwordOf(hostIdentifierSize.encode({ bits: { exhid: true } }));
    const dataBytes = hostIdentifier.size;
    const { data } = await this.get(feature.hostIdentifier, { ...options, cdw11, dataBytes });
    return uuidText(hostIdentifier.decode(data).hostid);
  }
}

const none = { kind: "none" } as const;

function callOptions({ signal }: CallOptions): CallOptions {
  return signal ? { signal } : {};
}

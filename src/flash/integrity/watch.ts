/** Watches the bytes of a source as they pass, and says at the end whether they are the right ones. */

import type { CallOptions } from "../../block/index.ts";
import { FlashError } from "../error.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { Hasher, HashStream } from "./hasher.ts";
import { checkMinisign } from "./minisign.ts";
import type { Sidecars } from "./sidecars.ts";

/** Bytes that wait to be hashed at most. */
const behindBytesMax = 8 * 1024 * 1024;

/** Checks over all bytes of a file as it is stored. */
export class FileChecks {
  readonly #name: string;
  readonly #sidecars: Sidecars;
  readonly #sha256: HashStream | undefined;
  readonly #blake2b: HashStream | undefined;
  #behindBytes = 0;
  #hashing: Promise<unknown> = Promise.resolve();
  #failure: unknown;

  constructor(name: string, sidecars: Sidecars, hasher: Hasher) {
    this.#name = name;
    this.#sidecars = sidecars;
    this.#sha256 = sidecars.sha256 ? hasher.begin("sha256") : undefined;
    this.#blake2b =
      sidecars.signature?.kind === "minisign" ? hasher.begin("blake2b512") : undefined;
  }

  /** Whether there is anything to check. */
  get isIdle(): boolean {
    return !this.#sidecars.sha256 && !this.#sidecars.signature;
  }

  /** Takes the next bytes, which may change as soon as the promise settles. */
  async update(data: Uint8Array): Promise<void> {
    const copy = data.slice();
    const { signature } = this.#sidecars;
    const steps = [this.#sha256?.update(copy), this.#blake2b?.update(copy)];
    if (signature?.kind === "openpgp") steps.push(signature.check.update(copy));
    this.#behindBytes += copy.byteLength;
    const step = Promise.all(steps).then(
      () => {
        this.#behindBytes -= copy.byteLength;
      },
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#hashing = Promise.all([this.#hashing, step]);
    if (this.#behindBytes > behindBytesMax) await this.#hashing;
    if (this.#failure) throw this.#failure;
  }

  /** @throws FlashError `checksum` or `signature`. */
  async finish(): Promise<void> {
    await this.#hashing;
    if (this.#failure) throw this.#failure;
    const { sha256, signature } = this.#sidecars;
    const found = await this.#sha256?.digest();
    if (sha256 && found !== sha256.hex) {
      throw new FlashError(
        "checksum",
        `Cannot use ${this.#name}: its SHA-256 is ${found}, and ${sha256.sidecar} says ` +
          `${sha256.hex}. Fetch both again.`,
        { name: this.#name, found, wanted: sha256.hex, sidecar: sha256.sidecar },
      );
    }
    if (signature?.kind === "openpgp") await signature.check.finish();
    if (signature?.kind === "minisign") {
      const hex = (await this.#blake2b?.digest()) ?? "";
      checkMinisign(signature.signature, signature.key, hex, signature.sidecar);
    }
  }
}

/** A source whose bytes are checked as they pass; call `checks.finish` after its end. */
export class WatchedSource implements ByteSource {
  readonly sizeBytes: number | undefined;
  readonly #source: ByteSource;
  readonly #checks: FileChecks;

  constructor(source: ByteSource, checks: FileChecks) {
    this.#source = source;
    this.#checks = checks;
    this.sizeBytes = source.sizeBytes;
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    const length = await this.#source.read(target, options);
    if (length > 0) await this.#checks.update(target.subarray(0, length));
    return length;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#source[Symbol.asyncDispose]());
  }
}

/** The lock file of an appliance: everything that a build takes from outside, by hash. */

/** One Debian package, as the lock pins it. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Which archive of `Lock.archives` it comes from. */
  readonly archive: string;
  /** Path below the archive's mirror: `pool/main/s/systemd/systemd_257.13-1~deb13u1_amd64.deb`. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** SHA-256 of each maintainer script that the package has, by name; names sorted. */
  readonly scripts: Readonly<Partial<Record<MaintainerScript, string>>>;
}

/** The files of a package's control part that dpkg would run. */
export type MaintainerScript = "preinst" | "postinst" | "prerm" | "postrm" | "config" | "triggers";

/** A package of the npm registry, pinned by its integrity (`sha512-…`, base64). */
export interface LockedNpmPackage {
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}

/** One signed index that the packages were resolved from. */
export interface LockedRelease {
  /** Key of the archive: `debian` or `debian-security`. */
  readonly archive: string;
  /** `trixie`, `trixie-updates`, `trixie-security`. */
  readonly suite: string;
  /** The `Date` field of the InRelease file, ISO 8601 in UTC. */
  readonly date: string;
  /** SHA-256 of the InRelease file as it was fetched. */
  readonly sha256: string;
}

/** What a definition asked for when its lock was made; all names sorted. */
export interface LockedRequest {
  /** Kernel, firmware and stub included. */
  readonly packages: readonly string[];
  readonly excluded: readonly string[];
  readonly backports: readonly string[];
}

/** `appliances/NAME.lock.json`. */
export interface Lock {
  readonly format: 1;
  readonly appliance: string;
  /** Tells when the definition has come to ask for something else; old locks do not have it. */
  readonly request?: LockedRequest;
  readonly releases: readonly LockedRelease[];
  /** Sorted by name. */
  readonly packages: readonly LockedPackage[];
  readonly npm: readonly LockedNpmPackage[];
  /** Ids that no package fixes, by account name, so that they stay when packages come and go. */
  readonly ids: Readonly<Record<string, number>>;
  /** mtimes in the image are never after this; seconds since 1970, from the newest release date. */
  readonly epochSeconds: number;
}

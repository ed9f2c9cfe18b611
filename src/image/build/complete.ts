/**
 * The proof that an image was unpacked whole. When memory is short, or the file was cut, the kernel
 * writes one line, drops the rest of the archive and boots on; so the first segment carries a unit
 * that says so in plain words, and the last file of the last segment is the stamp that keeps it from
 * running. Until a later segment says otherwise this unit is also all that the system boots to:
 * what else is there lacks the settings that keep it from touching the machine.
 */

import type { Entry } from "../entry.ts";

/** The last file of an image. */
const stampPath = "usr/lib/diskomator/complete";
const units = "usr/lib/systemd/system";

const unit = "diskomator-incomplete.service";
const target = "diskomator-incomplete.target";

const targetText = `[Unit]
Description=Nothing but a report that the image was not unpacked completely
DefaultDependencies=no
Requires=${unit}
After=${unit}
AllowIsolate=yes
`;

const unitText = `[Unit]
Description=Report that the image was not unpacked completely
DefaultDependencies=no
Before=sysinit.target
ConditionPathExists=!/${stampPath}
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/usr/bin/printf '\\n\\033[1;31m%%s\\n%%s\\n%%s\\033[0m\\n\\n' \\
  'This image was not unpacked completely: too little memory, or a damaged file.' \\
  'Nothing is exported, and no disk was touched. Add memory, or write the image again.' \\
  'The machine powers off in five minutes.'
# /dev/console is the last one of the command line only; the kernel speaks on all of them.
ExecStart=/usr/bin/sh -c 'echo "<0>This image was not unpacked completely." >/dev/kmsg'
ExecStart=/usr/bin/sleep 300
TimeoutStartSec=infinity
`;

/** What the very first segment holds: enough to come up and say what is wrong. */
export function firstEntries(mtimeSeconds: number): Entry[] {
  const base = { uid: 0, gid: 0, mtimeSeconds };
  const directory = (path: string): Entry => ({ ...base, type: "directory", path, mode: 0o755 });
  const file = (path: string, text: string): Entry => ({
    ...base,
    type: "file",
    path,
    mode: 0o644,
    data: Buffer.from(text),
  });
  const link = (path: string, target: string): Entry => ({
    ...base,
    type: "symlink",
    path,
    mode: 0o777,
    target,
  });
  return [
    // The kernel makes its first root writable by all, and sshd trusts no key file below such a one.
    directory("."),
    link("bin", "usr/bin"),
    directory("etc"),
    directory("etc/systemd"),
    directory("etc/systemd/system"),
    link("etc/systemd/system/default.target", `/${units}/${target}`),
    directory("etc/systemd/system/sysinit.target.wants"),
    link(`etc/systemd/system/sysinit.target.wants/${unit}`, `/${units}/${unit}`),
    link("init", "usr/lib/systemd/systemd"),
    link("lib", "usr/lib"),
    link("lib64", "usr/lib64"),
    link("sbin", "usr/sbin"),
    directory("usr"),
    directory("usr/bin"),
    directory("usr/lib"),
    directory("usr/lib/systemd"),
    directory(units),
    file(`${units}/${unit}`, unitText),
    file(`${units}/${target}`, targetText),
    directory("usr/lib64"),
    directory("usr/sbin"),
  ];
}

/** The stamp, with its folders; `buildId` tells which image it is of. */
export function stampEntries(buildId: string, mtimeSeconds: number): Entry[] {
  const base = { uid: 0, gid: 0, mtimeSeconds };
  const folders = ["usr", "usr/lib", "usr/lib/diskomator"].map(
    (path): Entry => ({ ...base, type: "directory", path, mode: 0o755 }),
  );
  const data = Buffer.from(`${buildId}\n`);
  return [...folders, { ...base, type: "file", path: stampPath, mode: 0o644, data }];
}

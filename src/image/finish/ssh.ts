/** The SSH server: root by key only; a host key of the image's owner, or one made at every boot. */

import { readPublicKey } from "../ssh-key.ts";
import type { Listing } from "./input.ts";
import { directory, file, type Piece } from "./piece.ts";

/** Unit that makes the host key; enabled wherever sshd is in the image and brings none. */
export const hostKeyUnit = "diskomator-hostkeys.service";

const hostKey = "/run/ssh/ssh_host_ed25519_key";
const builtInHostKey = "/etc/ssh/ssh_host_ed25519_key";

/** Whether the image has an SSH server. */
export function hasSshServer(listing: Listing): boolean {
  return listing.has("usr/sbin/sshd");
}

/**
 * Server configuration, root's keys, and the host key unit; nothing without sshd.
 *
 * Debian's ssh.service makes /run/sshd itself (RuntimeDirectory=); its key generator waits for a
 * first boot, which an image with a machine-id never has.
 */
export function sshFiles(
  listing: Listing,
  authorizedKeys: readonly string[],
  ownHostKey?: string,
): Piece[] {
  if (!hasSshServer(listing)) {
    return [];
  }
  const keys = authorizedKeys.map((key) => `${key.trim()}\n`).join("");
  return [
    file("etc/ssh/sshd_config", serverConfiguration(ownHostKey !== undefined)),
    directory("etc/ssh/sshd_config.d"),
    directory("etc/ssh/authorized_keys.d"),
    file("etc/ssh/authorized_keys.d/root", keys, { mode: 0o600 }),
    ...(ownHostKey === undefined
      ? [file(`usr/lib/systemd/system/${hostKeyUnit}`, hostKeyUnitText)]
      : [
          file(builtInHostKey.slice(1), `${ownHostKey.trim()}\n`, { mode: 0o600 }),
          file(`${builtInHostKey.slice(1)}.pub`, `${readPublicKey(ownHostKey) ?? ""}\n`),
        ]),
  ];
}

/**
 * sshd takes the first value of each keyword, so what is included cannot weaken this. PAM would
 * authenticate nobody here; it would open a session with logind, which starts and ends three units
 * around each login: under emulation that takes longer than the login itself.
 */
function serverConfiguration(hasOwnKey: boolean): string {
  return `# Root by key only; no password, no way around it.
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
GSSAPIAuthentication no
PermitEmptyPasswords no
AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u
AuthorizedKeysCommand none
HostKey ${hasOwnKey ? builtInHostKey : hostKey}
UsePAM no
UseDNS no
X11Forwarding no
AllowAgentForwarding no
PermitUserEnvironment no
PrintMotd no
Subsystem sftp internal-sftp

# Subsystems of the appliance.
Include /etc/ssh/sshd_config.d/*.conf
`;
}

const hostKeyUnitText = `[Unit]
Description=Make the SSH host key of this boot
Before=ssh.service sshd@.service
ConditionPathExists=!${hostKey}

[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory=ssh
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
UMask=0077
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -C "" -f ${hostKey}

[Install]
RequiredBy=ssh.service
`;

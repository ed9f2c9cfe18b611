/** os-release(5) of an appliance, from Debian's. */

import type { ApplianceDefinition } from "../definition.ts";

/** Debian's own places; they are no help with somebody else's appliance. */
const droppedKeys = ["HOME_URL", "SUPPORT_URL", "BUG_REPORT_URL", "LOGO", "ANSI_COLOR"];

/**
 * The appliance is a system of its own (`ID`) that is like Debian (`ID_LIKE`), so that tools which
 * know Debian still do; Debian's code name and full version stay. IMAGE_ID and IMAGE_VERSION are
 * what boot loaders sort and show.
 */
export function osReleaseText(debian: string, definition: ApplianceDefinition): string {
  const fields = new Map<string, string>();
  for (const line of debian.split("\n")) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim());
    if (match !== null) {
      fields.set(match[1]!, unquote(match[2]!));
    }
  }
  const like = [fields.get("ID"), ...(fields.get("ID_LIKE") ?? "").split(" ")];
  const own: [string, string][] = [
    ["PRETTY_NAME", `${definition.title} ${definition.version}`],
    ["NAME", definition.title],
    ["ID", definition.name],
    ["ID_LIKE", like.filter((each) => each).join(" ") || "debian"],
    ["VERSION", definition.version],
    ["VERSION_ID", definition.version],
    ["VARIANT_ID", "appliance"],
    ["IMAGE_ID", definition.name],
    ["IMAGE_VERSION", definition.version],
  ];
  for (const key of [...droppedKeys, ...own.map(([name]) => name)]) {
    fields.delete(key);
  }
  return [...own, ...fields].map(([key, value]) => `${key}=${quote(value)}\n`).join("");
}

function unquote(text: string): string {
  const match = /^"(.*)"$|^'(.*)'$/.exec(text);
  return match === null ? text : (match[1] ?? match[2]!).replace(/\\([\\"$`])/g, "$1");
}

/** Bare where the shell needs no quotes, as boot loaders expect of ids. */
function quote(text: string): string {
  return /^[A-Za-z0-9._-]+$/.test(text) ? text : `"${text.replace(/[\\"$`]/g, "\\$&")}"`;
}

/** apt's configuration language, as far as the proxies in it need (apt.conf(5)). */
import type { ProxySettings } from "../fetch/index.ts";

/**
 * Reads configuration text, or what `apt-config dump` prints: full option name in lower case →
 * last value. Understands `A::B "v";`, nested braces and the three kinds of comments; text that
 * is none of these is passed over.
 */
export function parseAptConfiguration(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const scopes: string[] = [];
  let name: string | undefined;
  for (const [token, quoted] of text.matchAll(TOKEN)) {
    if (token.startsWith("//") || token.startsWith("#") || token.startsWith("/*")) {
      continue;
    }
    if (token === "{") {
      scopes.push(name ?? "");
      name = undefined;
    } else if (token === "}") {
      scopes.pop();
      name = undefined;
    } else if (token === ";") {
      name = undefined;
    } else if (name === undefined && quoted === undefined) {
      name = token.toLowerCase();
    } else if (name !== undefined) {
      values.set([...scopes, name].filter((part) => part !== "").join("::"), quoted ?? token);
    }
  }
  return values;
}

/** A comment, a quoted value, a mark, or a bare word. */
const TOKEN = /\/\/[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/|"([^"\n]*)"|[{};]|(?:(?!\/\/|\/\*)[^\s{};"#])+/g;

/**
 * apt's proxies over those of the environment, as apt itself has it: a host's own setting
 * (`DIRECT` for none) goes first, and https takes http's proxy unless it has its own.
 */
export function proxyFromApt(
  configuration: ReadonlyMap<string, string>,
  environment: ProxySettings,
): ProxySettings {
  const http = settingOf(configuration, "acquire::http::proxy") ?? environment.http;
  const https =
    settingOf(configuration, "acquire::https::proxy") ??
    settingOf(configuration, "acquire::http::proxy") ??
    environment.https;
  const hosts: Record<string, string> = { ...environment.hosts };
  for (const [name, value] of configuration) {
    const host = /^acquire::https?::proxy::(.+)$/.exec(name)?.[1];
    if (host !== undefined && value !== "") {
      hosts[host] = value;
    }
  }
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    except: environment.except,
    hosts,
  };
}

function settingOf(configuration: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = configuration.get(name);
  return value === "" ? undefined : value;
}

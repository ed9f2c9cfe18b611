/** Which proxy a request goes through: settings as values, and the choice. */

/** Proxies by scheme and host; the values are URLs, or `DIRECT`. */
export interface ProxySettings {
  readonly http?: string;
  readonly https?: string;
  /** Hosts that are reached directly: `no_proxy`'s parts. */
  readonly except: readonly string[];
  /** Settings for single hosts, which win over everything else. */
  readonly hosts: Readonly<Record<string, string>>;
}

/** Settings of an environment: `http_proxy`, `https_proxy`, `no_proxy`; lower case wins. */
export function proxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ProxySettings {
  const settingOf = (name: string) => environment[name] || environment[name.toUpperCase()];
  const http = settingOf("http_proxy");
  const https = settingOf("https_proxy");
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    except: (settingOf("no_proxy") ?? "").split(/[\s,]+/).filter((part) => part !== ""),
    hosts: {},
  };
}

/** The proxy's URL for a request to `url`; undefined when it goes there directly. */
export function proxyFor(settings: ProxySettings, url: URL): string | undefined {
  const own = settings.hosts[url.hostname];
  if (own === undefined && settings.except.some((part) => isExcepted(part, url))) {
    return undefined;
  }
  const proxy = own ?? (url.protocol === "https:" ? settings.https : settings.http);
  if (proxy === undefined || proxy.toUpperCase() === "DIRECT") {
    return undefined;
  }
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

/** `*`, a host, a domain with or without a dot (all below it too), each perhaps with a port. */
function isExcepted(part: string, url: URL): boolean {
  if (part === "*") {
    return true;
  }
  const [, name = "", port] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(part.toLowerCase()) ?? [];
  const urlPort = url.port || (url.protocol === "https:" ? "443" : "80");
  if (port !== undefined && port !== urlPort) {
    return false;
  }
  return name !== "" && (url.hostname === name || url.hostname.endsWith(`.${name}`));
}

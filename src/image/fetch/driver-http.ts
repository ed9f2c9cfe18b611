/** The HTTP client under all downloads: proxies, certificates, redirects, stalls. */
import { Agent as HttpAgent, get as httpGet, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, get as httpsGet } from "node:https";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { type ProxySettings, proxyFor } from "./proxy.ts";

/** How requests travel. */
export interface TransportSettings {
  readonly proxy: ProxySettings;
  /** A connection that brings nothing for this long is given up; 30 s unless told. */
  readonly stallTimeoutMs?: number;
}

/** The head of an answer, and its body as it comes. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Rejects when the connection is cut before the announced end, or stalls. */
  readonly body: AsyncIterable<Uint8Array> & Pick<IncomingMessage, "destroy" | "resume">;
}

/** Makes GET requests over connections that it keeps open until disposal. */
export interface Transport extends AsyncDisposable {
  /**
   * Follows up to five redirects. Rejects with the system's error when there is no answer, and
   * with the signal's reason when it is aborted.
   */
  get(url: string, options: HttpRequestOptions): Promise<HttpResponse>;
}

/** What a request may carry. */
interface HttpRequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const redirectsMax = 5;
const stallTimeoutDefaultMs = 30_000;

/**
 * Opens a transport. HTTPS trusts Node's own authorities, those of `NODE_EXTRA_CA_CERTS` and the
 * system's store, as apt does.
 */
export function openTransport(settings: TransportSettings): Transport {
  const agents = new Map<string, HttpAgent>();
  const stallTimeoutMs = settings.stallTimeoutMs ?? stallTimeoutDefaultMs;
  let secureContext: SecureContext | undefined;

  const agentFor = (url: URL): HttpAgent => {
    const proxy = proxyFor(settings.proxy, url);
    const key = `${url.protocol} ${proxy ?? ""}`;
    const known = agents.get(key);
    if (known !== undefined) {
      return known;
    }
    const common = {
      keepAlive: true,
      proxyEnv: proxy === undefined ? {} : { http_proxy: proxy, https_proxy: proxy },
    };
    let agent: HttpAgent;
    if (url.protocol === "https:") {
      secureContext ??= createSecureContext({ ca: trustedAuthorities() });
      agent = new HttpsAgent({ ...common, secureContext });
    } else {
      agent = new HttpAgent(common);
    }
    agents.set(key, agent);
    return agent;
  };

  return {
    async get(url, options) {
      let current = new URL(url);
      for (let redirects = 0; ; redirects += 1) {
        const response = await request(current, agentFor(current), options, stallTimeoutMs);
        const { location } = response.headers;
        const isRedirect = [301, 302, 303, 307, 308].includes(response.statusCode ?? 0);
        if (!isRedirect || location === undefined) {
          return { status: response.statusCode ?? 0, headers: response.headers, body: response };
        }
        response.resume();
        current = nextUrl(current, location, redirects);
      }
    },
    [Symbol.asyncDispose]() {
      for (const agent of agents.values()) {
        agent.destroy();
      }
      return Promise.resolve();
    },
  };
}

function nextUrl(current: URL, location: string, redirects: number): URL {
  const next = new URL(location, current);
  if (redirects >= redirectsMax) {
    throw new Error(`more than ${redirectsMax} redirects`);
  }
  if (current.protocol === "https:" && next.protocol !== "https:") {
    throw new Error("a redirect from https to http");
  }
  return next;
}

function trustedAuthorities(): string[] {
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
}

function request(
  url: URL,
  agent: HttpAgent,
  options: HttpRequestOptions,
  stallTimeoutMs: number,
): Promise<IncomingMessage> {
  const { signal, headers } = options;
  return new Promise((resolve, reject) => {
    const get = url.protocol === "https:" ? httpsGet : httpGet;
    const pending = get(url, {
      agent,
      headers: { "user-agent": "diskomator", "accept-encoding": "identity", ...headers },
      ...(signal === undefined ? {} : { signal }),
      timeout: stallTimeoutMs,
    });
    let response: IncomingMessage | undefined;
    pending.on("timeout", () => {
      const error = new StallError(`nothing came for ${stallTimeoutMs / 1000} s`);
      (response ?? pending).destroy(error);
    });
    pending.on("response", (message) => {
      response = message;
      resolve(message);
    });
    pending.on("error", (error) => reject(signal?.aborted ? signal.reason : error));
  });
}

/** A connection that stayed open and brought nothing. */
class StallError extends Error {
  override readonly name = "StallError";
  readonly code = "ETIMEDOUT";
}

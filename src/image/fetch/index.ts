export {
  type FetchOptions,
  fetchSmall,
  fetchVerified,
  type SmallFile,
  type VerifiedFile,
} from "./driver-download.ts";
export {
  type HttpResponse,
  openTransport,
  type Transport,
  type TransportSettings,
} from "./driver-http.ts";
export { fetchNpm, type NpmOptions, npmCommand, npmIntegrity } from "./driver-npm.ts";
export {
  archiveUrl,
  type FetchPackagesOptions,
  type FetchProgress,
  fetchPackages,
} from "./driver-packages.ts";
export type { Digest } from "./driver-part.ts";
export { shownUrl } from "./failure.ts";
export { type ProxySettings, proxyFromEnvironment } from "./proxy.ts";
export type { RetryPolicy } from "./retry.ts";
export { runTogether } from "./together.ts";

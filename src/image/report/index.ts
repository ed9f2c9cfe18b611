export { type Licence, licencesOf } from "./licence.ts";
export { type Component, makeSbom, type SbomSubject } from "./sbom.ts";
export { type Column, formatBytes, formatTable } from "./table.ts";

export { type Licence, licencesOf } from "./licence.ts";
export { type Component, makeSbom, type SbomSubject } from "./sbom.ts";
export { type Column, formatTable } from "./table.ts";

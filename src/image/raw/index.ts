export { type PlannedFile, plannedFile, writePlanned } from "./driver-write.ts";
export { planRaw, type RawPlan, type WantedRaw } from "./raw.ts";

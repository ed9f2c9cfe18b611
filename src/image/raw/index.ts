export {
  type PlannedFile,
  plannedFile,
  type StagedFile,
  stagePlanned,
  writePlanned,
} from "./driver-write.ts";
export { planRaw, type RawPlan, type WantedRaw } from "./raw.ts";

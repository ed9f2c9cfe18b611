/** What a disk says of its own health, out of smartctl's JSON (smartctl(8), option -j). */
import * as v from "valibot";
import type { DiskView } from "../rpc/index.ts";

/**
 * How smartctl asks a disk of this transport; null for those that it would open for writing (SCSI and
 * what is behind USB), or that know nothing.
 */
export function smartType(transport: string): string | null {
  const types: Readonly<Record<string, string>> = { nvme: "nvme", ata: "ata" };
  return types[transport] ?? null;
}

const whole = v.optional(v.number());
const report = v.object({
  smart_status: v.optional(v.object({ passed: v.boolean() })),
  temperature: v.optional(v.object({ current: whole })),
  power_on_time: v.optional(v.object({ hours: whole })),
  nvme_smart_health_information_log: v.optional(
    v.object({ percentage_used: whole, media_errors: whole }),
  ),
  ata_smart_attributes: v.optional(
    v.object({
      table: v.array(v.object({ id: v.number(), raw: v.object({ value: v.number() }) })),
    }),
  ),
});

/** Sectors that were moved, are waiting to be, or could not be read: attributes of ATA. */
const badSectors: ReadonlySet<number> = new Set([5, 197, 198]);

/** The health in a report; null when there is none in it. */
export function parseHealth(json: string): DiskView["health"] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  const parsed = v.safeParse(report, value);
  if (!parsed.success || parsed.output.smart_status === undefined) return null;
  const { smart_status, temperature, power_on_time, ...logs } = parsed.output;
  const nvme = logs.nvme_smart_health_information_log;
  const bad = logs.ata_smart_attributes?.table.filter(({ id }) => badSectors.has(id));
  const badCount = bad?.reduce((sum, { raw }) => sum + raw.value, 0);
  return {
    failing: !smart_status.passed,
    temperatureCelsius: temperature?.current ?? null,
    powerOnHours: power_on_time?.hours ?? null,
    usedPercent: nvme?.percentage_used ?? null,
    mediaErrors: nvme?.media_errors ?? badCount ?? null,
  };
}

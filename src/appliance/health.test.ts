import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHealth, smartType } from "./health.ts";

// Cut from what smartctl 7.3 printed of an NVMe and a SATA disk of QEMU.
const nvme = {
  smartctl: { exit_status: 0 },
  smart_status: { passed: true, nvme: { value: 0 } },
  nvme_smart_health_information_log: { temperature: 50, percentage_used: 3, media_errors: 1 },
  temperature: { current: 50 },
  power_on_time: { hours: 1234 },
};
const ata = {
  smart_status: { passed: false },
  ata_smart_attributes: {
    table: [
      { id: 5, name: "Reallocated_Sector_Ct", raw: { value: 7 } },
      { id: 9, name: "Power_On_Hours", raw: { value: 1 } },
      { id: 197, name: "Current_Pending_Sector", raw: { value: 2 } },
    ],
  },
  power_on_time: { hours: 1 },
};

test("parseHealth reads what NVMe and ATA disks say of themselves", () => {
  assert.deepEqual(parseHealth(JSON.stringify(nvme)), {
    failing: false,
    temperatureCelsius: 50,
    powerOnHours: 1234,
    usedPercent: 3,
    mediaErrors: 1,
  });
  assert.deepEqual(parseHealth(JSON.stringify(ata)), {
    failing: true,
    temperatureCelsius: null,
    powerOnHours: 1,
    usedPercent: null,
    mediaErrors: 9,
  });
});

test("parseHealth gives null for a disk that says nothing, and for what is no report", () => {
  for (const text of ["", "[]", "{}", `{"smart_status":{}}`, `{"smart_status":{"passed":1}}`]) {
    assert.equal(parseHealth(text), null, text);
  }
});

test("smartType leaves disks alone that smartctl would open for writing", () => {
  assert.deepEqual(["nvme", "ata", "scsi", "usb", "virtio", "mmc"].map(smartType), [
    "nvme",
    "ata",
    ...[null, null, null, null],
  ]);
});

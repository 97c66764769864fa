// The ops of a program as launches on a device. Each takes the step that the CPU would run, whose buffers are the caller's.
#pragma once

#include <memory>

#include "../steps.h"
#include "device_program.h"

namespace kvasir::gpu {

// Throw a Failure for what the device cannot run.
std::unique_ptr<Step> onDevice(DeviceProgram& program, const EmbedRowsStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const RmsNormStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const LinearStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const RopeStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const SiluGateStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const GatherRowsStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const WriteKvStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const CompareKvStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const AttendPrefillStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const AttentionMassStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const SelectRunsStep& step);
std::unique_ptr<Step> onDevice(DeviceProgram& program, const AttendRunsStep& step);

}  // namespace kvasir::gpu

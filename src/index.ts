/** The library face: what edgeforge knows of files, as pure functions. Malformed input gives an EdgeError with a code; absent is undefined, never 0. */
export { EdgeError, type ErrorCode, type ErrorDetails, type Where } from './core/errors.ts';
export { type CalibrationAlgorithm, type CalibrationCache, type CalibrationEntry, formatCalibrationCache, parseCalibrationCache } from './formats/calibration-cache.ts';
export { decodeEtlt, type Etlt, type EtltSource, encodeEtlt } from './formats/etlt.ts';
export { type L4t, parseNvTegraRelease } from './formats/nv-tegra.ts';
export { type OnnxReadOptions, readOnnx, writeOnnx } from './formats/onnx.ts';
export { looksLike, type PayloadKind } from './formats/payload.ts';
export { type ParsedSpec, type ParseOptions, parseSpec, type SpecMessage, type SpecTask, type SpecValue } from './formats/spec/parse-spec.ts';
export { type CpuLoad, parseTegrastats, type RailPower, type Tegrastats } from './formats/tegrastats.ts';
export { type Example, type Feature, readTfrecords } from './formats/tfrecord.ts';
export { parseTrtexecLog, type TrtexecLog, type TrtexecTimes } from './formats/trtexec.ts';
export type { Attribute, Attributes, DataType, Dim, Graph, Node, Tensor, TensorData, TensorType, ValueInfo } from './graph/ir.ts';

// Which option trtexec takes in which release: `since..until: names`, both ends included, an open end is still there.
// Condensed from the option parsers of 31 tags, v6.0.1 to v11.1; a test holds it against real --help texts.
const table = `
6.0..: allowGPUFallback avgRuns avgTiming device dumpOutput dumpProfile duration exportProfile exportTimes help inputIOFormats iterations loadEngine maxShapes minShapes onnx optShapes outputIOFormats percentile plugins safe saveEngine shapes streams threads useCudaGraph useDLACore verbose warmUp
6.0..8.6: batch deploy maxBatch model output uff uffInput uffNHWC
6.0..9.3: buildOnly explicitBatch minTiming workspace
6.0..10.16: calib fp16 int8
7.0..: exportOutput exposeDMA loadInputs sleepTime useSpinWait
7.1..: noBuilderCache noTF32
7.1..10.16: best minShapesCalib optShapesCalib maxShapesCalib
7.1..9.3: nvtxMode
7.2..: dumpRefit noDataTransfers refit separateProfileRun tacticSources
8.0..: sparsity timeDeserialize timeRefit timingCacheFile
8.0..9.3: explicitPrecision
8.2..: directIO dumpLayerInfo exportLayerInfo idleTime profilingVerbosity useManagedMemory
8.2..10.16: precisionConstraints restricted
8.2..10.3: consistency
8.4..: memPoolSize
8.4..10.16: layerPrecisions layerOutputTypes
8.5..: persistentCacheRatio preview
8.5..9.3: heuristic
8.6..: buildDLAStandalone builderOptimizationLevel dumpRawBindingsToFile dynamicPlugins excludeLeanRuntime hardwareCompatibilityLevel ignoreParsedPluginLibs infStreams layerDeviceTypes leanDLLPath maxAuxStreams setPluginsToSerialize skipInference staticPlugins tempdir tempfileControls useRuntime vc versionCompatible
8.6..10.16: fp8
9.3..: dumpOptimizationProfile errorOnTimingCacheMiss getPlanVersionOnly noCompilationCache profile stronglyTyped useProfile
9.3..10.16: bf16 calibProfile weightless
10.0..: allocationStrategy allowWeightStreaming markDebug pi pluginInstanceNorm saveDebugTensors stripWeights weightStreamingBudget
10.1..: stripAllWeights
10.1..10.16: int4
10.2..: runtimePlatform
10.4..: maxTactics
10.6..: monitorMemory
10.7..: asyncFileReader
10.8..: l2LimitForTiling tilingOptimizationLevel
10.11..: uint8AsymmetricQuantizationDLA
10.12..: distributiveIndependence markUnfusedTensorsAsDebugTensors saveAllDebugTensors
10.13..: dumpKernelText remoteAutoTuningConfig
10.14..: decomposableAttentions refitFromOnnx
10.15..: cpuOnly enablePluginOverride
10.16..: adjustForDLA reportCapabilityDLA
11.0..: includeDataTransfers noCudaGraph noSpinWait
11.1..: accuracyAlgorithm accuracyThreshold atol dryRun loadRefOutputs refPair rtol saveAllEngines
`;

const number = (text: string): number => {
  const [major = 0, minor = 0] = text.split('.').map(Number);
  return major * 100 + minor;
};
const rows = table
  .trim()
  .split('\n')
  .map(line => {
    const [, since = '', until = '', names = ''] = /^([\d.]+?)\.\.([\d.]*): (.*)$/.exec(line) ?? [];
    return { since: number(since), until: until === '' ? Number.POSITIVE_INFINITY : number(until), names: names.split(' ') };
  });

/** The options that trtexec of a release (`8.2.1`, `10.3.0`) takes, without dashes. */
export const optionsOf = (version: string): ReadonlySet<string> => {
  const at = number(version.split('.').slice(0, 2).join('.'));
  return new Set(rows.filter(({ since, until }) => since <= at && at <= until).flatMap(({ names }) => names));
};
/** Is a release at least `major.minor`? */
export const since = (version: string, wanted: string): boolean => number(version.split('.').slice(0, 2).join('.')) >= number(wanted);

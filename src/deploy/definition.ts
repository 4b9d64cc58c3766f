import { z } from 'zod';

/** What the application of a release reads and where it shows what it finds; frames are scaled to width × height before inference. */
export const appSchema = z.strictObject({
  sources: z.array(z.string().regex(/^[a-z0-9]+:\/\/[^\p{C}\s]+$/u, { message: 'a source is a URI: rtsp://…, file:///…' })).nonempty(),
  sink: z.enum(['fake', 'display', 'file', 'rtsp']).default('fake'),
  width: z.int().positive().default(1280),
  height: z.int().positive().default(720),
  tracker: z.boolean().default(false),
});
export type AppSettings = z.infer<typeof appSchema>;

/** How a device is reached, as a project file's `devices:` value or an entry of the user's registry says it. */
export const deviceDefinitionSchema = z
  .strictObject({
    /** Kind of device, a file in targets/; left out: what its facts show. */
    target: z.string().optional(),
    /** user@host[:port], or a Host of ~/.ssh/config. */
    ssh: z.string().min(1).optional(),
    serve: z.literal(true).optional(),
    local: z.literal(true).optional(),
    identityFile: z.string().optional(),
    /** Left out: the target's. */
    runtime: z.enum(['tensorrt', 'onnxruntime']).optional(),
    /** Memory that TensorRT may use to try tactics in; left out: the target's. */
    workspaceMiB: z.int().positive().optional(),
    /** A systemd unit runs the DeepStream application of the current release: over DeepStream's sample film, shown nowhere, or as said here. */
    service: z.union([z.boolean(), appSchema]).optional(),
    /** An .etlt is built by the device's own tao-converter even where we could read it as ONNX; left out: only what trtexec cannot read is. */
    converter: z.boolean().optional(),
    /** Releases that stay on the device, the current and the one before it always; left out: 3. */
    releases: z.int().positive().max(1000).optional(),
    /** A Jetson's power mode to measure in, by nvpmodel's name or id; the one before is given back. Left out: the one it is in. */
    powerMode: z.union([z.string().min(1), z.int().nonnegative().transform(String)]).optional(),
    /** A card's GPU clock to measure at, held by `nvidia-smi -lgc` and given free afterwards by -rgc. A lock that was there before cannot be asked for and ends too, so it is never done unasked. */
    gpuMHz: z.int().positive().optional(),
  })
  .refine(value => [value.ssh, value.serve, value.local].filter(item => item !== undefined).length === 1, {
    message: 'a device is reached in exactly one way: ssh: user@host, serve: true or local: true',
  });
export type DeviceDefinition = z.infer<typeof deviceDefinitionSchema>;

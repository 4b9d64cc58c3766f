import { hostname, userInfo } from 'node:os';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { canonical, type Digest, digestOf } from '../core/fingerprint.ts';
import type { Passport } from './device.ts';

/** Names that files of a release may have: they become words and lines of other programs' lists. */
const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/);
/** Ids are folder names: when it was made (UTC), and the head of its content's digest. */
export const releaseId = /^\d{8}-\d{6}-[0-9a-f]{12}$/;
const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform(text => text as Digest);

const passportSchema = z.looseObject({
  engine: z.looseObject({ path: z.string(), digest, bytes: z.number() }),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  batch: z.int().positive(),
  modelDigest: digest,
  runtime: z.string(),
  deviceId: z.string(),
  sm: z.string().optional(),
  l4t: z.string().optional(),
});

/** What a release is: written into its folder as manifest.json, last of all. */
export const releaseManifestSchema = z.strictObject({
  schemaVersion: z.literal(1),
  id: z.string().regex(releaseId),
  /** Digest over names and digests of all its files: equal content is the same release. */
  content: digest,
  project: z.string(),
  device: z.string(),
  who: z.string(),
  /** When it was made (ISO 8601, the host's clock). */
  at: z.string(),
  /** Digest of the report that goes with it. */
  report: digest.optional(),
  gate: z.enum(['pass', 'fail', 'unjudged']),
  /** The precision that the application runs: the fastest that the gate let pass. */
  precision: z.enum(['fp32', 'fp16', 'int8']),
  /** The config of deepstream-app; absent where the device has no DeepStream for it. */
  app: fileName.optional(),
  engines: z.array(z.strictObject({ file: fileName, passport: passportSchema })),
  files: z.array(z.strictObject({ file: fileName, digest, bytes: z.int().nonnegative() })),
});
export type ReleaseManifest = z.infer<typeof releaseManifestSchema>;

/** A file of a release: its text, or where its bytes lie on the device already. */
export type ReleaseFile = { readonly file: string } & ({ readonly text: string } | { readonly at: string; readonly digest: Digest; readonly bytes: number });
/** All that a release holds, before it has an id. */
export interface ReleaseContent {
  readonly project: string;
  readonly device: string;
  readonly report?: Digest;
  readonly gate: ReleaseManifest['gate'];
  readonly precision: ReleaseManifest['precision'];
  readonly app?: string;
  readonly engines: readonly { readonly file: string; readonly passport: Passport }[];
  readonly files: readonly ReleaseFile[];
}

/** What a manifest says of one file. */
export const fileEntry = (each: ReleaseFile): ReleaseManifest['files'][number] =>
  'text' in each ? { file: each.file, digest: digestOf(each.text), bytes: Buffer.byteLength(each.text) } : { file: each.file, digest: each.digest, bytes: each.bytes };

/** The digest of what a release holds: names, digests and what the application runs; no times, no report. */
export const contentDigest = ({ engines, files, app, project }: ReleaseContent): Digest =>
  digestOf(
    canonical({
      project,
      app,
      engines: engines.map(({ file, passport }) => [file, passport.engine.digest]).sort(),
      files: files
        .map(fileEntry)
        .map(({ file, digest }) => [file, digest])
        .sort(),
    }),
  );

/** The manifest of this content, made now. Throws `internal` for a file whose name cannot stand in a release. */
export function manifestOf(content: ReleaseContent, at = new Date()): ReleaseManifest {
  const digest = contentDigest(content);
  const stamp = at
    .toISOString()
    .replace(/[-:]|\.\d+Z/g, '')
    .replace('T', '-');
  const { project, device, report, gate, precision, app, engines } = content;
  const made = releaseManifestSchema.safeParse({
    schemaVersion: 1,
    id: `${stamp}-${digest.slice(0, 12)}`,
    content: digest,
    project,
    device,
    who: `${userInfo().username}@${hostname()}`,
    at: at.toISOString(),
    ...(report === undefined ? {} : { report }),
    gate,
    precision,
    ...(app === undefined ? {} : { app }),
    engines: engines.map(({ file, passport }) => ({ file, passport: JSON.parse(JSON.stringify(passport)) })),
    files: content.files.map(fileEntry),
  });
  if (made.success) return made.data;
  const [issue] = made.error.issues;
  throw new EdgeError('internal', `A release cannot hold this: ${issue?.path.join('.')}: ${issue?.message}.`, {
    hint: 'Please report this with your project file.',
    cause: made.error,
  });
}

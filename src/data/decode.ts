import { readFile } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { asEdgeError, EdgeError } from '../core/errors.ts';
import { decodePlainJpeg, readJpegHeader } from './jpeg.ts';
import { type Filter, type Fit, type Placement, placementOf, type Size } from './placement.ts';

/** Pixels as 8-bit R, G, B, row by row. */
export interface Pixels extends Size {
  readonly data: Uint8Array;
}
/** A cut of the original (its pixels) to be scaled to `to`. */
export interface Window extends Size {
  readonly left: number;
  readonly top: number;
  readonly to: Size;
}
/** 256 MB decoded: far above any camera, far below what would take a machine down. */
const mostPixels = 90_000_000;

/** libvips keeps one list of errors for all its threads: the words may have gone with another image's. */
const reasonOf = (cause: unknown): string | undefined =>
  (cause instanceof Error ? cause.message.split('\n')[0] : String(cause))?.replace(/^Unknown error$/, 'its data are damaged');
const corrupt = (file: string, cause: unknown): EdgeError =>
  new EdgeError('image-corrupt', `"${file}" cannot be decoded: ${reasonOf(cause)}.`, {
    hint: 'Replace or remove the file; `edgeforge data check` lists every broken one.',
    where: { file },
    cause,
  });

/** The bytes of an image file; a file that is not there is `file-missing`. Read by us, since libvips caches by name and would show a replaced file's old pixels. */
async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new EdgeError('file-missing', `The image "${file}" cannot be read.`, { hint: 'Import the dataset again, or put the file back.', where: { file }, cause });
  }
}
/** A JPEG is decoded at once, other formats when the pixels are asked for. */
function open(input: Buffer): Sharp {
  const header = readJpegHeader(input);
  const pixels = header && header.width * header.height <= mostPixels ? decodePlainJpeg(input, header) : undefined;
  if (pixels) return sharp(pixels.data, { raw: { width: pixels.width, height: pixels.height, channels: 3 } });
  return sharp(input, { failOn: 'error', limitInputPixels: mostPixels }).toColourspace('srgb').removeAlpha();
}
/** sharp's names of the filters; both average over an area where they shrink, as PIL's do. */
const kernels = { bilinear: 'linear', bicubic: 'cubic' } as const;

async function pixelsOf(file: string, image: Sharp): Promise<Pixels> {
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  if (info.channels === 3) return { data, width: info.width, height: info.height };
  if (info.channels !== 1) throw corrupt(file, `${info.channels} channels`);
  const rgb = new Uint8Array(info.width * info.height * 3);
  for (let i = 0; i < data.length; i++) rgb.fill(data[i]!, i * 3, i * 3 + 3);
  return { data: rgb, width: info.width, height: info.height };
}

/** Decodes a whole image at its own size. Turned (EXIF) images stay as stored: labels, TLT and the device read the stored pixels. Throws `image-corrupt` or `file-missing`. */
export async function decodeImage(file: string): Promise<Pixels> {
  return shielded(file, async () => pixelsOf(file, open(await bytesOf(file))));
}

/** Decodes an image straight into its place in an input of `size`: the content only (what lies beyond it is the caller's fill), with the placement that moves boxes alike. */
export async function decodePlaced(file: string, size: Size, fit: Fit, filter: Filter = 'bilinear'): Promise<{ readonly pixels: Pixels; readonly placement: Placement }> {
  return shielded(file, async () => {
    const bytes = await bytesOf(file);
    const placement = placementOf(await sizeOfImage(bytes), size, fit);
    const { resized, content, cutX, cutY } = placement;
    let image = open(bytes);
    if (fit !== 'none') image = image.resize(resized.width, resized.height, { fit: 'fill', kernel: kernels[filter] });
    if (content.width !== resized.width || content.height !== resized.height) image = image.extract({ left: cutX, top: cutY, width: content.width, height: content.height });
    return { pixels: await pixelsOf(file, image), placement };
  });
}

/** Decodes a whole image, made smaller while it is decoded as long as it still covers `least`; never larger than it is. `original` is its own size. */
export async function decodeCovering(file: string, least: Size, filter: Filter = 'bilinear'): Promise<{ readonly pixels: Pixels; readonly original: Size }> {
  return shielded(file, async () => {
    const bytes = await bytesOf(file);
    const original = await sizeOfImage(bytes);
    const scale = Math.max(least.width / original.width, least.height / original.height);
    const image = open(bytes);
    const smaller = scale >= 1 ? image : image.resize(Math.round(original.width * scale), Math.round(original.height * scale), { fit: 'fill', kernel: kernels[filter] });
    return { pixels: await pixelsOf(file, smaller), original };
  });
}

/** Width and height as an image's bytes state them; JPEG and PNG headers are read here, which costs a thousandth of opening the image. */
async function sizeOfImage(bytes: Buffer): Promise<Size> {
  if (bytes.length > 24 && bytes.readUInt32BE(12) === 0x49484452) return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
  const jpeg = readJpegHeader(bytes);
  if (jpeg) return jpeg;
  const { width, height } = await sharp(bytes, { limitInputPixels: mostPixels }).metadata();
  return { width: width ?? 0, height: height ?? 0 };
}

/** A whole image scaled to a size, whatever its shape: for a person to look at. Throws `image-corrupt` or `file-missing`. */
export async function decodeScaled(file: string, { width, height }: Size): Promise<Pixels> {
  return shielded(file, async () => pixelsOf(file, open(await bytesOf(file)).resize(width, height, { fit: 'fill', kernel: kernels.bilinear })));
}

/** A window of decoded pixels scaled to another size (bilinear with area averaging when it shrinks). */
export async function cutWindow({ data, width, height }: Pixels, window: Window): Promise<Pixels> {
  const image = sharp(data, { raw: { width, height, channels: 3 } })
    .extract({ left: window.left, top: window.top, width: window.width, height: window.height })
    .resize(window.to.width, window.to.height, { fit: 'fill', kernel: 'linear' });
  return pixelsOf('(decoded pixels)', image);
}

/** Width, height and EXIF turn from an image's header alone. */
export async function readHeader(file: string): Promise<Size & { readonly orientation: number }> {
  return shielded(file, async () => {
    const { width, height, orientation } = await sharp(file, { limitInputPixels: mostPixels }).metadata();
    if (!width || !height) throw corrupt(file, 'it states no size');
    return { width, height, orientation: orientation ?? 1 };
  });
}

async function shielded<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof EdgeError) throw cause;
    throw cause instanceof RangeError || cause instanceof TypeError ? asEdgeError(cause) : corrupt(file, cause);
  }
}

/** A TensorRT version taken apart; `text` is `major.minor.patch`. */
export interface TensorrtVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly text: string;
}

const version = (major: number, minor: number, patch: number): TensorrtVersion => ({ major, minor, patch, text: `${major}.${minor}.${patch}` });

/** From the digits in banners and cache headers: major·1000 + minor·100 + patch up to 9.x, major·10000 + … from 10 on (TAO's own writer keeps ×1000 there: 10100 is 10.1.0). */
export function tensorrtOfDigits(digits: string | number): TensorrtVersion | undefined {
  const n = Number(digits);
  if (!Number.isInteger(n) || n < 1000 || n > 9_999_999) return undefined;
  const unit = n >= 100_000 ? 10_000 : 1000;
  return version(Math.floor(n / unit), Math.floor((n % unit) / 100), n % 100);
}

/** From a dotted text, also a Debian one: `8.6.1`, `8.5.2.2`, `10.3.0.30-1+cuda12.5`. Undefined where there is no version. */
export function tensorrtOfText(text: string): TensorrtVersion | undefined {
  const [, major, minor, patch] = /^\s*v?(\d{1,2})\.(\d{1,2})(?:\.(\d{1,2}))?(?:$|[.\s+-])/.exec(text) ?? [];
  return major === undefined ? undefined : version(Number(major), Number(minor), Number(patch ?? 0));
}

/** The digits TensorRT itself prints for a version: 8.6.1 → 8601, 10.3.0 → 100300. */
export const tensorrtDigits = ({ major, minor, patch }: TensorrtVersion): string => String(major * (major >= 10 ? 10_000 : 1000) + minor * 100 + patch);

/** A feature map [N, channels, h, w] inside a builder, by value name. */
export interface Feature {
  readonly value: string;
  readonly channels: number;
}

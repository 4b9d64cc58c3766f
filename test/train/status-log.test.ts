import { expect, it } from 'vitest';
import { formatDuration, formatStatusLine } from '../../src/train/status-log.ts';

it('writes lines as TAO’s tools read them', () => {
  const line = formatStatusLine(
    {
      status: 'RUNNING',
      message: 'Training loop in progress',
      epoch: 3,
      max_epoch: 10,
      time_per_epoch: formatDuration(61_500),
      eta: formatDuration(90_000_000),
      graphical: { loss: 0.25, learning_rate: 5e-4 },
    },
    new Date(Date.UTC(2026, 0, 5, 4, 7, 9)),
  );
  expect(line).toBe(
    '{"date":"1/5/2026","time":"4:7:9","status":"RUNNING","verbosity":"INFO","message":"Training loop in progress","epoch":3,"max_epoch":10,"time_per_epoch":"0:01:01.500000","eta":"1 day, 1:00:00","graphical":{"loss":0.25,"learning_rate":0.0005}}\n',
  );
});

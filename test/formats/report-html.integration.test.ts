import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportHtml } from '../../src/formats/report-html.ts';
import { chromium, openPage } from '../chromium.ts';
import { fixture } from './report-fixture.ts';

if (!chromium) console.warn('SKIPPED: the report in a browser, because no Chromium is installed. Install it with: apt-get install chromium');

/** Texts whose contrast to what lies behind them is below 3 : 1, as `text (ratio)`; hidden ones and those over pictures apart. */
const faintTexts = `(() => {
  const numbers = color => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
  const luminance = rgb => rgb.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => { for (let at = element; at; at = at.parentElement) { const { rgb, a } = numbers(getComputedStyle(at).backgroundColor); if (a > 0.9) return rgb; } return [255, 255, 255]; };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const style = getComputedStyle(element);
    if (!node.textContent.trim() || style.visibility === 'hidden' || element.getBoundingClientRect().width === 0) continue;
    const svg = element.closest('svg');
    if (element.closest('style,title') || svg?.querySelector('image')) continue;
    const { rgb, a } = numbers(svg ? style.fill : style.color);
    if (a < 0.3) continue;
    const [x, y] = [luminance(rgb), luminance(behind(element))].sort((p, q) => q - p);
    const ratio = (x + 0.05) / (y + 0.05);
    if (ratio < 3) faint.push(node.textContent.trim().slice(0, 40) + ' (' + ratio.toFixed(2) + ')');
  }
  return faint;
})()`;
/** Drawings without size or shapes. */
const emptyDrawings = `[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width < 20 || svg.querySelectorAll('path,rect,circle,line,polyline,image').length === 0).length`;
/** Words of drawings that are cut off by the drawing's edge. */
const cutWords = `[...document.querySelectorAll('svg text')].filter(text => { const svg = text.closest('svg').getBoundingClientRect(); const box = text.getBoundingClientRect(); return box.width > 0 && !text.closest('svg').querySelector('image') && (box.left < svg.left - 1 || box.right > svg.right + 1 || box.top < svg.top - 1 || box.bottom > svg.bottom + 1); }).map(text => text.textContent)`;

describe.skipIf(!chromium)('the report in a browser', () => {
  const folder = mkdtempSync(join(tmpdir(), 'edge-report-'));
  const file = pathToFileURL(join(folder, 'report.html')).href;
  const wrong: string[] = [];
  const requests: string[] = [];
  let page: Awaited<ReturnType<typeof openPage>>;
  beforeAll(async () => {
    writeFileSync(join(folder, 'report.html'), await reportHtml(fixture()));
    page = await openPage((method, params) => {
      const { entry, request, exceptionDetails, type } = params as {
        entry?: { level: string; text: string };
        request?: { url: string };
        exceptionDetails?: { text: string };
        type?: string;
      };
      if (method === 'Runtime.exceptionThrown') wrong.push(exceptionDetails!.text);
      if (method === 'Runtime.consoleAPICalled' && (type === 'error' || type === 'warning')) wrong.push(JSON.stringify(params));
      if (method === 'Log.entryAdded' && entry!.level !== 'verbose') wrong.push(entry!.text);
      if (method === 'Network.requestWillBeSent') requests.push(request!.url);
    });
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.send(`${domain}.enable`);
    const loaded = page.next('Page.loadEventFired');
    await page.send('Page.navigate', { url: file });
    await loaded;
  });
  afterAll(async () => {
    await page?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  const picture = async (name: string): Promise<{ readonly brightness: number }> => {
    const { data } = await page.send<{ data: string }>('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    if (process.env.REPORT_PICTURES) writeFileSync(join(process.env.REPORT_PICTURES, `report-${name}.png`), Buffer.from(data, 'base64'));
    const { channels } = await sharp(Buffer.from(data, 'base64')).flatten().stats();
    return { brightness: channels.reduce((sum, { mean }) => sum + mean, 0) / channels.length };
  };

  it('opens without an error and asks the network for nothing', async () => {
    expect(wrong).toEqual([]);
    expect(requests.filter(url => !url.startsWith('data:'))).toEqual([file]);
    expect(await page.evaluate('document.title')).not.toBe('');
    expect(await page.evaluate<number>("document.querySelectorAll('svg').length")).toBeGreaterThanOrEqual(7);
    expect(await page.evaluate(emptyDrawings)).toBe(0);
    expect(await page.evaluate('[...document.images].every(image => image.complete && image.naturalWidth > 0)')).toBe(true);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ] as const)('is readable in %s at %i pixels, and nothing sticks out', async (scheme, width) => {
    await page.send('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: false });
    await page.send('Emulation.setEmulatedMedia', { media: 'screen', features: [{ name: 'prefers-color-scheme', value: scheme }] });
    expect(await page.evaluate(faintTexts)).toEqual([]);
    expect(await page.evaluate(emptyDrawings)).toBe(0);
    expect(await page.evaluate(cutWords)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBeLessThanOrEqual(0);
    const { brightness } = await picture(`${scheme}-${width}`);
    if (scheme === 'light') expect(brightness).toBeGreaterThan(200);
    else expect(brightness).toBeLessThan(90);
  });

  it('prints on white, whatever the screen prefers', async () => {
    await page.send('Emulation.setEmulatedMedia', { media: 'print', features: [{ name: 'prefers-color-scheme', value: 'dark' }] });
    expect(await page.evaluate(faintTexts)).toEqual([]);
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)');
    await page.send('Emulation.setEmulatedMedia', { media: '', features: [] });
    const { data } = await page.send<{ data: string }>('Page.printToPDF', { preferCSSPageSize: true });
    const pdf = Buffer.from(data, 'base64');
    expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
    expect(pdf.toString('latin1').match(/\/Type ?\/Page\b/g)?.length).toBeGreaterThanOrEqual(1);
    expect(pdf.length).toBeGreaterThan(10_000);
  });
});

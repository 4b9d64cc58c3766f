#!/usr/bin/env node
// Old syntax on purpose: whatever node starts this, the product runs under one that is new enough.
var path = require('path'), fs = require('fs'), child = require('child_process'), url = require('url');
process.env.ORT_DISABLE_TELEMETRY = '1';
// Compiled code is kept between starts; runs, trainings and embedded devices inherit it.
if (!process.env.NODE_COMPILE_CACHE) process.env.NODE_COMPILE_CACHE = path.join(__dirname, '..', 'node_modules', '.cache', 'edgeforge');
var modules = require('module');
if (modules.enableCompileCache) modules.enableCompileCache(process.env.NODE_COMPILE_CACHE);
var main = path.join(__dirname, '..', 'dist', 'main.js');
var packaged = path.join(__dirname, '..', 'node_modules', '.bin', 'node');
var version = process.versions.node.split('.').map(Number);
if (!fs.existsSync(main)) { console.error('edgeforge is not built yet. Run: npm run build'); process.exit(2); }
if (version[0] > 22 || (version[0] === 22 && version[1] >= 18)) import(url.pathToFileURL(main).href);
else if (fs.existsSync(packaged)) process.exit(child.spawnSync(packaged, [main].concat(process.argv.slice(2)), { stdio: 'inherit' }).status);
else { console.error('edgeforge needs Node 22.18 or newer; this is ' + process.version + '. Run: npm install node@24'); process.exit(2); }

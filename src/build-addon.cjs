// ssh2's optional cryptography addon, built for the Node that runs us. Without a compiler, or on any failure, ssh2's pure JavaScript serves: `edgeforge doctor` says which.
var path = require('path'), fs = require('fs'), child = require('child_process');
var root = path.join(__dirname, '..');
var folder = path.join(root, 'node_modules', 'ssh2', 'lib', 'protocol', 'crypto');
var built = path.join(folder, 'build', 'Release', 'sshcrypto.node');
var node = path.join(root, 'node_modules', '.bin', 'node');
var gyp = process.env.npm_config_node_gyp;
function works() { return child.spawnSync(fs.existsSync(node) ? node : process.execPath, ['-e', 'require(' + JSON.stringify(built) + ')']).status === 0; }
if (fs.existsSync(folder) && gyp && !(fs.existsSync(built) && works()) && child.spawnSync('c++', ['--version']).status === 0) {
  // The packaged Node brings its own headers, so nothing is downloaded.
  var headers = fs.existsSync(node) ? path.join(fs.realpathSync(node), '..', '..') : path.join(process.execPath, '..', '..');
  var version = process.versions;
  var env = Object.assign({}, process.env, { npm_config_nodedir: headers });
  var result = child.spawnSync(process.execPath, [gyp, 'rebuild', '--nodedir=' + headers, '--real_openssl_major=' + /^\d+/.exec(version.openssl)[0]], { cwd: folder, env: env, stdio: 'ignore', timeout: 180000 });
  console.log(result.status === 0 && works() ? 'Built ssh2’s cryptography addon.' : 'ssh2 runs in pure JavaScript here.');
}

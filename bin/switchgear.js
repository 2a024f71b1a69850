#!/usr/bin/env node
// Written in syntax that every Node since version 4 can parse, so that an old one gets a sentence instead of a stack.
var NODE_TOO_OLD_OR_NOT_BUILT = 78;

var version = process.versions.node.split('.');
var major = Number(version[0]);
var minor = Number(version[1]);

function give(message) {
  process.stderr.write('switchgear: ' + message + '\n');
  process.exitCode = NODE_TOO_OLD_OR_NOT_BUILT;
}

if (major < 22 || (major === 22 && minor < 19)) {
  give(
    'expected Node to be version 22.19 or newer, got: ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ').\n' +
      'Install a current Node from https://nodejs.org, then run the same command again. In a checkout of Switchgear ' +
      '"npm ci" brings its own Node, which "npm start" and "npx node bin/switchgear.js" use.',
  );
} else {
  import('../dist/cli/main.js').catch(function (error) {
    // `url` names what was not found; another missing file is another mistake.
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !String(error.url).endsWith('/dist/cli/main.js')) throw error;
    give('expected a build in dist/, found none. In a checkout run "npm run build"; else install the package again.');
  });
}

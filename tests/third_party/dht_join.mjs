// A node of bittorrent-dht that knows one other node. Prints NODES PEER... on one line once it has found a peer, then waits for the end of
// standard input. With PORT it announces itself first.
//
// usage: dht_join.mjs MODULES ADDRESS:PORT INFO_HASH [PORT]
import { pathToFileURL } from 'node:url'

const [modules, bootstrap, hash, port] = process.argv.slice(2)
const { Client } = await import(pathToFileURL(`${modules}/bittorrent-dht/index.js`))
const node = new Client({ bootstrap: [bootstrap], host: '127.0.0.1' })
const found = new Set()
// Those that it holds itself come from nobody.
node.on('peer', (peer, hash, from) => from && found.add(`${peer.host}:${peer.port}`))
await new Promise(resolve => node.listen(0, '127.0.0.1', resolve))
await new Promise(resolve => node.on('ready', resolve))
if (port) await new Promise((resolve, reject) => node.announce(hash, Number(port), error => error ? reject(error) : resolve()))
while (!found.size) {
  await new Promise(resolve => node.lookup(hash, resolve))
  await new Promise(resolve => setTimeout(resolve, 100))
}
console.log([node.toJSON().nodes.length, ...[...found].sort()].join(' '))
process.stdin.on('end', () => process.exit()).resume()

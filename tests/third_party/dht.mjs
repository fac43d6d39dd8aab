// Starts nodes of bittorrent-dht on loopback. Prints their ports on one line once they know each other, then waits for the end of standard
// input.
//
// usage: dht.mjs MODULES NODES
import { pathToFileURL } from 'node:url'

const [modules, count] = process.argv.slice(2)
const { Client } = await import(pathToFileURL(`${modules}/bittorrent-dht/index.js`))

const nodes = []
for (let n = 0; n < Number(count); n++) {
  const node = new Client({ bootstrap: false, host: '127.0.0.1' })
  await new Promise(resolve => node.listen(0, '127.0.0.1', resolve))
  nodes.push(node)
}
const known = node => node.toJSON().nodes.length
while (nodes.some(node => known(node) < Math.min(nodes.length - 1, 4))) {
  for (const one of nodes) {
    for (const other of nodes) {
      if (one !== other) one.addNode({ host: '127.0.0.1', port: other.address().port })
    }
  }
  await new Promise(resolve => setTimeout(resolve, 100))
}
console.log(nodes.map(node => node.address().port).join(' '))
process.stdin.on('end', () => process.exit()).resume()

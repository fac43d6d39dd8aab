// npm's `bittorrent-tracker` on one port of loopback: UDP, HTTP and WebSocket. Prints "ready"; ends with its standard input.
// Behind a proxy it takes peers for where that says they are. Arguments: the folder of its installation, the address, the port.
const [folder, address, port] = process.argv.slice(2)
const { default: Server } = await import(`${folder}/node_modules/bittorrent-tracker/server.js`)
const v6 = address.includes(':')
const server = new Server({ udp: true, http: true, ws: true, stats: false, trustProxy: true, interval: 30 * 60 * 1000 })
server.on('error', error => { console.error(error); process.exit(1) })
server.on('warning', warning => console.error(String(warning)))
const hostname = { http: address, udp: v6 ? '127.0.0.1' : address, udp6: v6 ? address : '::1' }
server.listen(Number(port), hostname, () => console.log('ready'))
process.stdin.on('end', () => process.exit()).resume()

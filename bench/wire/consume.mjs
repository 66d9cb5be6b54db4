// Consumes the flood with the official TypeScript SDK. The first argument is the stand-in.
import { query } from './package/sdk.mjs'

const stop = process.env.WIRE_STOP !== undefined
const report = { Messages: 0, Bytes: 0, End: '' }
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
let finished
const prompts = (async function* () {
	yield { type: 'user', message: { role: 'user', content: 'flood' }, parent_tool_use_id: null, session_id: '' }
	await new Promise((done) => { finished = done })
})()
let begun
const q = query({
	prompt: prompts,
	options: {
		pathToClaudeCodeExecutable: process.argv[2], includePartialMessages: true,
		env: { ...process.env, WIRE_ROLE: 'cli' },
	},
})
for await (const m of q) {
	begun ??= process.hrtime.bigint()
	if (m.type === 'assistant') {
		report.Messages++
		for (const block of m.message.content) if (block.type === 'text') report.Bytes += block.text.length
	} else if (m.type === 'stream_event') {
		const text = m.event.delta?.text
		if (text !== undefined) {
			report.Messages++
			report.Bytes += text.length
		}
	} else if (m.type === 'result') {
		report.End = m.subtype
		break
	}
	if (stop && report.Messages === 1) {
		await sleep(1000)
		const asked = process.hrtime.bigint()
		await q.interrupt()
		report.InterruptMS = Number(process.hrtime.bigint() - asked) / 1e6
		report.PeakMB = process.resourceUsage().maxRSS / 1024
		await sleep(200)
	}
}
report.Seconds = Number(process.hrtime.bigint() - begun) / 1e9
report.PeakMB ??= process.resourceUsage().maxRSS / 1024
finished?.()
console.log(JSON.stringify(report))
process.exit(0)

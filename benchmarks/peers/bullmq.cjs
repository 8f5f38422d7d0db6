// The worker of the BullMQ peer ("work"), and the application that adds jobs ("add TOTAL SIZE").
const { Queue, Worker } = require("bullmq");
const nodemailer = require("nodemailer");

const connection = { host: "127.0.0.1", port: Number(process.env.PEER_REDIS), maxRetriesPerRequest: null };
const LINE = "The quick brown fox jumps over the lazy dog, and the mail goes out on time.\n";
const CALL = 1000;

function work() {
  const transport = nodemailer.createTransport({
    host: "127.0.0.1",
    port: Number(process.env.PEER_SINK),
    ignoreTLS: true,
    pool: true,
    maxConnections: 10,
    maxMessages: Infinity,
  });
  new Worker("mail", (job) => transport.sendMail(job.data), { connection, concurrency: 20 });
}

async function add(total, size) {
  const queue = new Queue("mail", { connection });
  const text = LINE.repeat(size / LINE.length + 1).slice(0, size - 1) + "\n";
  for (let first = 0; first < total; first += CALL) {
    const jobs = [];
    for (let number = first; number < Math.min(first + CALL, total); number++) {
      const data = { from: "bench@example.com", to: `user${number}@example.org`, subject: `Message ${number}`, text };
      jobs.push({ name: "send", data });
    }
    await queue.addBulk(jobs);
  }
  await queue.close();
}

if (process.argv[2] === "work") work();
else add(Number(process.argv[3]), Number(process.argv[4]));

// Runs a model file with onnxruntime-web: node run_web.cjs MODEL INPUTS.json OUTPUTS.json
const fs = require("node:fs");
const path = require("node:path");

const [model, inputs, outputs] = process.argv.slice(2);
const folder = path.dirname(require.resolve("onnxruntime-web"));
const ort = require("onnxruntime-web");
ort.env.wasm.numThreads = 1;

async function main() {
  const session = await ort.InferenceSession.create(fs.readFileSync(model), { executionProviders: ["wasm"] });
  const { latent, label, batch } = JSON.parse(fs.readFileSync(inputs, "utf8"));
  const feeds = { latent: new ort.Tensor("float32", Float32Array.from(latent), [batch, latent.length / batch]) };
  if (label) feeds.label = new ort.Tensor("int64", BigInt64Array.from(label.map(BigInt)), [batch]);
  const { image, sample } = await session.run(feeds);
  const { version } = JSON.parse(fs.readFileSync(path.join(folder, "..", "package.json"), "utf8"));
  fs.writeFileSync(
    outputs,
    JSON.stringify({
      version,
      image: { type: image.type, dims: image.dims, data: Array.from(image.data) },
      sample: { type: sample.type, dims: sample.dims, data: Array.from(sample.data) },
    }),
  );
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

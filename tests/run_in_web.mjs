// Runs ONNX models in onnxruntime-web: node run_in_web.mjs FOLDER JOBS.json, see other_runtimes.py.
import fs from "node:fs";
import { createRequire } from "node:module";

const ort = createRequire(`${process.argv[2]}/`)("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const arrays = { float32: Float32Array, int64: BigInt64Array };

const tensor = ({ type, dims, data }) => {
  const bytes = Uint8Array.from(Buffer.from(data, "base64"));
  return new ort.Tensor(type, new arrays[type](bytes.buffer), dims);
};

const described = ({ type, dims, data }) => ({
  type,
  dims,
  data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
});

const results = [];
for (const { model, outputs, feeds } of JSON.parse(fs.readFileSync(process.argv[3]))) {
  const session = await ort.InferenceSession.create(fs.readFileSync(model), { executionProviders: ["wasm"] });
  const runs = [];
  for (const fed of feeds) {
    const inputs = Object.fromEntries(Object.entries(fed).map(([name, value]) => [name, tensor(value)]));
    const found = await session.run(inputs);
    runs.push(outputs.map((name) => described(found[name])));
  }
  results.push(runs);
}
process.stdout.write(JSON.stringify(results));

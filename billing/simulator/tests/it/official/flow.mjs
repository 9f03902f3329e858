// Stripe's own client for Node, unchanged, against the simulator.

import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";

const Stripe = createRequire(`${process.env.STRIPE_CLIENTS}/package.json`)("stripe");
const url = new URL(process.env.SIMULATOR_URL);
const stripe = new Stripe(process.env.SIMULATOR_KEY, {
  host: url.hostname,
  port: url.port,
  protocol: "http",
  maxNetworkRetries: 2,
  telemetry: false,
});

async function control(action, sent = {}) {
  const answer = await fetch(`${url.origin}/_control/${action}`, { method: "POST", body: JSON.stringify(sent) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

async function payments() {
  const customer = await stripe.customers.create({ name: "Ann", payment_method: "pm_card_visa" });
  const methods = await stripe.customers.listPaymentMethods(customer.id);
  const paid = await stripe.paymentIntents.create({
    amount: 1500,
    currency: "usd",
    customer: customer.id,
    payment_method: methods.data[0].id,
    off_session: true,
    confirm: true,
    expand: ["latest_charge", "customer"],
  });
  assert.equal(paid.status, "succeeded");
  assert.equal(paid.customer.name, "Ann");
  assert.equal(paid.latest_charge.amount, 1500);

  const held = await stripe.paymentIntents.create({
    amount: 900, currency: "eur", payment_method: "pm_card_visa", confirm: true, capture_method: "manual",
    payment_method_types: ["card"],
  });
  assert.equal((await stripe.paymentIntents.capture(held.id, { amount_to_capture: 500 })).amount_received, 500);
  const open = await stripe.paymentIntents.create({ amount: 900, currency: "eur" });
  assert.equal((await stripe.paymentIntents.cancel(open.id)).status, "canceled");

  const asked = await stripe.paymentIntents.create({
    amount: 900, currency: "usd", payment_method: "pm_card_authenticationRequired", confirm: true,
    return_url: "https://portal.example/done",
  });
  assert.equal(asked.status, "requires_action");
  await control("authenticate", { id: asked.id, passed: true });
  assert.equal((await stripe.paymentIntents.retrieve(asked.id)).status, "succeeded");

  await assert.rejects(
    stripe.paymentIntents.create({
      amount: 900, currency: "usd", payment_method: "pm_card_visa_chargeDeclined", confirm: true,
      payment_method_types: ["card"],
    }),
    (error) => error.type === "StripeCardError" && error.payment_intent.status === "requires_payment_method",
  );
  await assert.rejects(stripe.customers.retrieve("cus_none"), { type: "StripeInvalidRequestError", statusCode: 404 });
}

async function retries() {
  await control("faults", { kind: "cut_after", method: "POST", path: "/v1/customers", times: 1 });
  const made = await stripe.customers.create({ email: "lost@example.com" });
  const found = await stripe.customers.list({ email: "lost@example.com" });
  assert.deepEqual(found.data.map((customer) => customer.id), [made.id]);
}

async function webhooks() {
  const letters = [];
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      letters.push([request.headers["stripe-signature"], Buffer.concat(parts)]);
      response.end();
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  await control("webhook_faults", { is_held: true });
  const endpoint = await stripe.webhookEndpoints.create({
    url: `http://127.0.0.1:${server.address().port}/hooks`,
    enabled_events: ["payment_intent.succeeded"],
  });
  const paid = await stripe.paymentIntents.create({
    amount: 900, currency: "usd", payment_method: "pm_card_visa", confirm: true, payment_method_types: ["card"],
  });
  assert.deepEqual(await control("deliver"), { delivered: 1, failed: 0 });
  const [[signature, body]] = letters;
  const event = stripe.webhooks.constructEvent(body, signature, endpoint.secret);
  assert.equal(event.data.object.id, paid.id);
  assert.throws(() => stripe.webhooks.constructEvent(`${body} `, signature, endpoint.secret), {
    type: "StripeSignatureVerificationError",
  });
  await control("faults/clear");
  server.close();
  server.closeAllConnections();
}

await payments();
await retries();
await webhooks();
console.log("all passed");

// The address of a view: everything that is shown follows from it.

export function read() {
  const query = new URLSearchParams(location.search);
  return {
    video: query.get("video") || "",
    t: Number(query.get("t")) || 0,
    like: query.get("like") || "",  // VIDEO@SECONDS: what the clips on the page resemble
    query: query.get("query") || "",
    text: query.get("text") || "",  // words that the clips on the page resemble
    name: query.get("name") || "",
    where: query.get("where") || "",
    labels: query.getAll("label"),
    order: query.get("order") || "",  // "unsure": least sure clips first
  };
}

export function write(view) {
  const query = new URLSearchParams();
  for (const name of ["video", "like", "query", "text", "name", "where", "order"]) {
    if (view[name]) query.set(name, view[name]);
  }
  if (view.video) query.set("t", String(Math.round(view.t * 1000) / 1000));
  for (const label of view.labels) query.append("label", label);
  const text = query.toString();
  return text ? "?" + text : "./";
}

export function filters(view) {
  const query = new URLSearchParams();
  if (view.where) query.set("where", view.where);
  for (const label of view.labels) query.append("label", label);
  return query;
}

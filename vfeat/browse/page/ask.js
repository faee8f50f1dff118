// Requests to the server: an answer, or an Error with the server's own message.

export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("vfeat browse does not answer any more: is it still running?");
  }
  if (!answer.ok) throw new Error(await message(answer));
  return answer;
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

async function message(answer) {
  try {
    return (await answer.json()).error || `status ${answer.status}`;
  } catch {
    return `status ${answer.status}`;
  }
}

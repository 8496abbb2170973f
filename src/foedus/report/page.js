// The page says everything without this script; it adds the theme button and tooltips that also work by touch.
(function () {
  var root = document.documentElement, button = document.querySelector(".theme");
  var names = ["auto", "light", "dark"], at = 0;
  function show() {
    if (at) root.setAttribute("data-theme", names[at]); else root.removeAttribute("data-theme");
    button.textContent = "Theme: " + names[at];
  }
  // Storage can be forbidden for local files: then the choice lasts as long as the page.
  try { at = Math.max(0, names.indexOf(localStorage.getItem("foedus-theme"))); } catch (e) {}
  button.hidden = false;
  button.addEventListener("click", function () {
    at = (at + 1) % 3;
    try { localStorage.setItem("foedus-theme", names[at]); } catch (e) {}
    show();
  });
  show();

  var bubble = document.createElement("div");
  bubble.className = "bubble"; bubble.hidden = true; bubble.setAttribute("role", "status");
  document.body.appendChild(bubble);
  document.querySelectorAll(".tip").forEach(function (el) {
    var title = el.querySelector("title");
    if (!title) return;
    el.setAttribute("data-tip", title.textContent);
    title.remove();  // or the browser would show its own tooltip over ours
  });
  document.addEventListener("pointermove", place);
  document.addEventListener("pointerdown", place);
  function place(e) {
    var el = e.target.closest ? e.target.closest(".tip") : null;
    var text = el && el.getAttribute("data-tip");
    bubble.hidden = !text;
    if (!text) return;
    bubble.textContent = text;
    var width = bubble.offsetWidth, height = bubble.offsetHeight, room = root.clientWidth;
    var left = Math.min(Math.max(8, e.clientX - width / 2), room - width - 8);
    var top = e.clientY - height - 14 < 0 ? e.clientY + 18 : e.clientY - height - 14;
    bubble.style.left = left + window.scrollX + "px";
    bubble.style.top = top + window.scrollY + "px";
  }
})();

/* What the platform has to say, inside JupyterLab: its notices, the time left, saving before the end; and that a guest
 * only looks. Written by hand as a container of module federation, so nothing has to be built: JupyterLab calls
 * `init` with what it shares, then `get` for the plugins (package.json names the file and the module). */
(() => {
  'use strict';

  const TEXTS = {
    en: {
      keep: 'Keep running',
      extend: 'Extend',
      open: 'Open its page',
      kept: 'The platform was asked to keep this lab running.',
      failed: 'That did not work. Try it on the page of the lab.',
      left: time => `${time} left`,
      stops: time => `This lab stops at ${time}. Its page on the platform opens in a new tab.`,
      looking: name => `You are looking at ${name ? `${name}’s lab` : 'another person’s lab'}; nothing can be changed.`,
      readOnly: 'Read-only',
      over: 'You may no longer look into this lab.'
    },
    zh: {
      keep: '保持运行',
      extend: '延长',
      open: '打开实验室页面',
      kept: '已请求平台保持此实验室运行。',
      failed: '操作未成功，请在实验室页面上重试。',
      left: time => `剩余 ${time}`,
      stops: time => `此实验室将于 ${time} 停止。点击在新标签页中打开它在平台上的页面。`,
      looking: name => `您正在查看${name ? `${name}的` : '他人的'}实验室，不能更改任何内容。`,
      readOnly: '只读',
      over: '您已不能再查看此实验室。'
    }
  };
  const LONG_POLLS = 2; // of one browser at once: it opens six connections to a host, and JupyterLab needs them
  const SECONDS_BETWEEN_SHORT_POLLS = 2;
  const SECONDS_AFTER_A_FAULT = 10;

  let shared = null;
  const config = JSON.parse(document.getElementById('jupyter-config-data')?.textContent || '{}');
  const isGuest = config.chancaiGuest === true;
  const browser = Math.random().toString(36).slice(2) + Date.now().toString(36);
  const sleep = seconds => new Promise(done => setTimeout(done, seconds * 1000));

  /** A package that JupyterLab has loaded anyway, so that its tokens and classes are the same as everybody's. */
  async function borrowed(name) {
    const versions = Object.values(shared?.[name] || {});
    const found = versions.find(version => version.loaded) || versions[0];
    return found ? (await found.get())() : null;
  }

  async function makePlugins() {
    const [services, widgets, statusbar] = await Promise.all(
      ['@jupyterlab/services', '@lumino/widgets', '@jupyterlab/statusbar'].map(borrowed)
    );
    return [
      {
        id: 'chancai-lab:platform',
        description: 'Notices of the platform, the time left, saving before the end.',
        autoStart: true,
        optional: statusbar ? [statusbar.IStatusBar] : [],
        activate: (app, bar) => {
          if (isGuest) {
            leaveKernelsAlone(app.docRegistry);
          }
          const lab = new Lab(app, services.ServerConnection);
          if (bar) {
            const item = new widgets.Widget({ node: lab.time });
            bar.registerStatusItem('chancai-lab:time', { item, align: 'right', rank: 1000 });
          }
          void app.restored.then(() => lab.listen());
        }
      }
    ];
  }

  /** A guest cannot start a kernel: a notebook that asked for one would only show that it failed. */
  function leaveKernelsAlone(registry) {
    const preference = registry.getKernelPreference.bind(registry);
    registry.getKernelPreference = (...given) => {
      const found = preference(...given);
      return found && { ...found, canStart: false, shouldStart: false, shouldConnect: false };
    };
  }

  class Lab {
    constructor(app, connection) {
      this.commands = app.commands;
      this.settings = app.serviceManager.serverSettings;
      this.connection = connection;
      this.told = '';
      this.texts = TEXTS.en;
      this.shown = new Map(); // our id → JupyterLab's
      this.saved = null;
      this.endsAt = null;
      this.ahead = 0; // milliseconds of the server's clock before ours
      this.time = document.createElement('a');
      this.time.className = 'chancai-time jp-StatusBar-TextItem';
      this.time.target = '_blank';
      this.time.rel = 'noopener';
      this.commands.addCommand('chancai-lab:keep-running', {
        label: () => this.texts.keep,
        execute: () => this.keepRunning()
      });
      this.commands.addCommand('chancai-lab:open', {
        label: () => this.texts.open,
        execute: ({ url }) => this.open(url)
      });
    }

    // Talking to the server

    async ask(path, body) {
      const init = body ? { method: 'POST', body: JSON.stringify(body) } : { cache: 'no-store' };
      const url = `${this.settings.baseUrl}chancai/${path}`;
      const answer = await this.connection.makeRequest(url, init, this.settings);
      if (!answer.ok) {
        throw Object.assign(new Error(`${path}: ${answer.status}`), { status: answer.status });
      }
      return answer.status === 200 ? answer.json() : null;
    }

    /** For as long as the page is open. */
    async listen() {
      setInterval(() => this.showTime(), 1000);
      let mayWait = false;
      for (let round = 0; ; round++) {
        if (!mayWait && round % 15 === 0) {
          mayWait = await takeTurn();
        }
        try {
          const wait = mayWait && this.told ? 1 : 0;
          const query = new URLSearchParams({ browser, told: this.told, wait });
          await this.hear(await this.ask(`news?${query}`));
          if (!mayWait) {
            await sleep(SECONDS_BETWEEN_SHORT_POLLS);
          }
        } catch (error) {
          if (isGuest && error.status === 403) {
            this.notify(this.texts.over, 'error');
            return;
          }
          await sleep(SECONDS_AFTER_A_FAULT);
        }
      }
    }

    async hear(news) {
      this.told = news.told;
      this.texts = news.language.startsWith('zh') ? TEXTS.zh : TEXTS.en;
      this.ahead = Date.parse(news.now) - Date.now();
      this.endsAt = news.lease_ends_at ? Date.parse(news.lease_ends_at) : null;
      if (news.page) {
        this.time.href = news.page;
      }
      if (news.save && news.save !== this.saved) {
        this.saved = news.save;
        void this.save(news.save);
      }
      const notices = news.is_guest
        ? [{ id: 'guest', kind: 'guest', tone: 'info', text: this.texts.looking(news.owner) }]
        : news.notices;
      await this.show(notices);
      this.showTime();
    }

    // What there is to see

    /** Each notice once, for as long as it holds. */
    async show(notices) {
      for (const notice of notices) {
        if (!this.shown.has(notice.id)) {
          this.shown.set(notice.id, null);
          this.shown.set(notice.id, await this.notify(notice.text, notice.tone, this.actions(notice)));
        }
      }
      const current = new Set(notices.map(notice => notice.id));
      for (const [id, notification] of this.shown) {
        if (!current.has(id) && notification) {
          this.shown.set(id, null);
          await this.commands.execute('apputils:dismiss-notification', { id: notification });
        }
      }
    }

    actions(notice) {
      const open = notice.url
        ? [{ label: this.texts.open, commandId: 'chancai-lab:open', args: { url: notice.url } }]
        : [];
      if (notice.kind === 'lab-idle') {
        return [{ label: this.texts.keep, commandId: 'chancai-lab:keep-running', displayType: 'accent' }, ...open];
      }
      if (notice.kind === 'lab-ends-soon' && notice.url) {
        return [{ ...open[0], label: this.texts.extend, displayType: 'accent' }];
      }
      return open;
    }

    async notify(message, type, actions = []) {
      return this.commands.execute('apputils:notify', { message, type, options: { autoClose: false, actions } });
    }

    showTime() {
      if (isGuest) {
        this.time.textContent = this.texts.readOnly;
        return;
      }
      if (this.endsAt === null) {
        return;
      }
      const seconds = Math.max(0, Math.round((this.endsAt - Date.now() - this.ahead) / 1000));
      const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
      const two = number => String(number).padStart(2, '0');
      const text = this.texts.left(
        seconds < 120 ? `${minutes}:${two(seconds % 60)}` : hours ? `${hours} h ${two(minutes)} min` : `${minutes} min`
      );
      if (this.time.textContent !== text) {
        this.time.textContent = text;
        const at = new Date(this.endsAt - this.ahead);
        this.time.title = this.texts.stops(at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }));
      }
    }

    // What there is to do

    async save(name) {
      try {
        await this.commands.execute('docmanager:save-all');
      } finally {
        await this.ask('saved', { save: name, browser });
      }
    }

    async keepRunning() {
      try {
        await this.ask('keep-alive', { minutes: 60 });
        await this.notify(this.texts.kept, 'success');
      } catch (error) {
        await this.notify(this.texts.failed, 'error');
      }
    }

    open(url) {
      if (/^https?:\/\//.test(url)) {
        window.open(url, '_blank', 'noopener');
      }
    }
  }

  /** Whether this page may keep a request open: a few of a browser's pages may, the others ask again and again. */
  async function takeTurn() {
    if (!navigator.locks) {
      return false;
    }
    for (let turn = 0; turn < LONG_POLLS; turn++) {
      const taken = await new Promise(done => {
        void navigator.locks.request(`chancai-lab-${turn}`, { ifAvailable: true }, lock => {
          done(lock !== null);
          return lock && new Promise(() => {}); // until the page is closed
        });
      });
      if (taken) {
        return true;
      }
    }
    return false;
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['chancai-lab'] = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const plugins = await makePlugins();
      return () => ({ __esModule: true, default: plugins });
    }
  };
})();

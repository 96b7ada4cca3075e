'use strict';

/* What every script of the page uses. */

const $ = id => document.getElementById(id);
const video = $('video');
const seconds = value => `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} s`;
const wait = ms => new Promise(done => setTimeout(done, ms));

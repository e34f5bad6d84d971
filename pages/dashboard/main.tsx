import { render } from 'preact';
import '../shared/base.css';
import './style.css';
import { App } from './app.tsx';

const place = document.querySelector('#page');
if (place !== null) render(<App />, place);
